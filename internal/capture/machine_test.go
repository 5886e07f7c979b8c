package capture

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
)

// The reference is golang.org/x/net/bpf's machine, for packets that were not cut.
func FuzzMachine(f *testing.F) {
	program := func(ins ...uint64) []byte {
		var b []byte
		for _, i := range ins {
			b = binary.BigEndian.AppendUint64(b, i)
		}
		return b
	}
	f.Add(program(0x28<<48|12, 0x15<<48|1<<32|0x800, 0x06<<48|262144, 0x06<<48), []byte{12: 8, 13: 0, 40: 1})
	f.Add(program(0xb1<<48|14, 0x48<<48|16, 0x15<<48|1<<32|80, 0x06<<48|1, 0x06<<48), []byte{14: 0x45, 36: 0, 37: 80, 60: 0})
	f.Add(program(0x80<<48, 0x07<<48, 0x1d<<48|1<<32, 0x16<<48, 0x06<<48), make([]byte, 60))
	f.Add(program(0x20<<48, 0x02<<48|3, 0x61<<48|3, 0x3c<<48, 0x94<<48|3, 0xa4<<48|1, 0x84<<48, 0x16<<48), []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, text, packet []byte) {
		if len(packet) == 0 || len(text)/8 > 64 {
			return
		}
		var prog []bpf.RawInstruction
		for ; len(text) >= 8; text = text[8:] {
			prog = append(prog, bpf.RawInstruction{
				Op: binary.BigEndian.Uint16(text), Jt: text[2], Jf: text[3], K: binary.BigEndian.Uint32(text[4:]),
			})
		}
		m, err := newMachine(prog)
		if err != nil {
			return
		}
		got := m.accepts(packet, uint32(len(packet)))
		ins, all := bpf.Disassemble(prog)
		if !all {
			return
		}
		vm, err := bpf.NewVM(ins)
		if err != nil {
			return
		}
		if readsAbove(ins) {
			return
		}
		want, err := vm.Run(packet)
		if err != nil {
			return
		}
		if got != (want != 0) {
			t.Errorf("%v over %x gives %v, the reference %d", ins, packet, got, want)
		}
	})
}

// readsAbove reports loads by offsets that mean an extension to the reference, and a length that it has its own way with.
func readsAbove(ins []bpf.Instruction) bool {
	for _, i := range ins {
		switch i := i.(type) {
		case bpf.LoadExtension:
			return true
		case bpf.LoadIndirect:
			if i.Off > 1<<30 {
				return true
			}
		}
	}
	return false
}

func TestMachineRefusesWhatCouldRunAway(t *testing.T) {
	end := bpf.RawInstruction{Op: opReturn}
	for name, prog := range map[string][]bpf.RawInstruction{
		"empty":            nil,
		"no return":        {{Op: 0x28, K: 12}},
		"jump to the end":  {{Op: 0x15, Jt: 1}, end},
		"long jump":        {{Op: 0x05, K: 1}, end},
		"backward jump":    {{Op: 0x05, K: 0xffffffff}, end},
		"scratch":          {{Op: 0x60, K: 16}, end},
		"store":            {{Op: 0x02, K: 16}, end},
		"division by zero": {{Op: 0x34}, end},
		"unknown class":    {{Op: 0x47}, end},
		"unknown size":     {{Op: 0x38}, end},
		"wide code":        {{Op: 0x128}, end},
		"too long":         make([]bpf.RawInstruction, maxInstructions+1),
	} {
		if _, err := newMachine(prog); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMachineReadsNothingBehindThePacket(t *testing.T) {
	for _, ins := range []bpf.RawInstruction{
		{Op: 0x20, K: 57}, {Op: 0x28, K: 59}, {Op: 0x30, K: 60}, {Op: 0xb1, K: 60}, {Op: 0x30, K: 0xffffffff}, {Op: 0x20, K: 0xfffff000},
	} {
		m, err := newMachine([]bpf.RawInstruction{ins, {Op: opReturn, K: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if m.accepts(make([]byte, 60), 60) {
			t.Errorf("%+v loads behind the end", ins)
		}
		if ins.K < 100 && !m.accepts(make([]byte, 64), 64) {
			t.Errorf("%+v does not load", ins)
		}
	}
}
