package capture

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"
)

// Parts of a classic BPF instruction code (linux/bpf_common.h, linux/filter.h).
const (
	classLD   = 0x00
	classLDX  = 0x01
	classST   = 0x02
	classSTX  = 0x03
	classALU  = 0x04
	classJMP  = 0x05
	classRET  = 0x06
	classMISC = 0x07
	classMask = 0x07

	sizeW    = 0x00
	sizeH    = 0x08
	sizeB    = 0x10
	sizeMask = 0x18

	modeIMM  = 0x00
	modeABS  = 0x20
	modeIND  = 0x40
	modeMEM  = 0x60
	modeLEN  = 0x80
	modeMSH  = 0xa0
	modeMask = 0xe0

	aluADD = 0x00
	aluSUB = 0x10
	aluMUL = 0x20
	aluDIV = 0x30
	aluOR  = 0x40
	aluAND = 0x50
	aluLSH = 0x60
	aluRSH = 0x70
	aluNEG = 0x80
	aluMOD = 0x90
	aluXOR = 0xa0

	jmpJA  = 0x00
	jmpJEQ = 0x10
	jmpJGT = 0x20
	jmpJGE = 0x30
	jmpSET = 0x40

	opMask  = 0xf0
	sourceX = 0x08

	miscTAX = 0x00
	miscTXA = 0x80

	opReturn  = classRET
	opReturnA = classRET | 0x10
)

const scratchWords = 16

// machine runs a classic BPF program over frames of a capture file, as libpcap's pcap_offline_filter does. (The machine
// of golang.org/x/net/bpf knows no length on the wire but the captured one, so "greater" would be wrong for cut frames.)
// The zero value accepts nothing. Not safe for concurrent use.
type machine struct {
	prog   []bpf.RawInstruction
	packet []byte
	wire   uint32
	a, x   uint32
	m      [scratchWords]uint32
}

// newMachine refuses a program that could run out of its bounds or has an instruction that is unknown.
func newMachine(prog []bpf.RawInstruction) (*machine, error) {
	if len(prog) == 0 || len(prog) > maxInstructions {
		return nil, fmt.Errorf("%d instructions", len(prog))
	}
	for i, ins := range prog {
		if !validInstruction(ins, len(prog)-1-i) {
			return nil, fmt.Errorf("instruction %d (code %#x, jt %d, jf %d, k %d) is not valid", i, ins.Op, ins.Jt, ins.Jf, ins.K)
		}
	}
	if last := prog[len(prog)-1].Op; last != opReturn && last != opReturnA {
		return nil, fmt.Errorf("the last instruction (code %#x) does not return", last)
	}
	return &machine{prog: prog}, nil
}

// validInstruction: left is the number of instructions behind it.
func validInstruction(ins bpf.RawInstruction, left int) bool {
	switch ins.Op & classMask {
	case classLD, classLDX:
		return validLoad(ins)
	case classST, classSTX:
		return ins.Op&^classMask == 0 && ins.K < scratchWords
	case classALU:
		zero := (ins.Op == classALU|aluDIV || ins.Op == classALU|aluMOD) && ins.K == 0
		return ins.Op&opMask <= aluXOR && ins.Op < 0x100 && !zero
	case classJMP:
		if ins.Op == classJMP|jmpJA {
			return uint64(ins.K) < uint64(left)
		}
		known := ins.Op&opMask >= jmpJEQ && ins.Op&opMask <= jmpSET && ins.Op < 0x100
		return known && int(ins.Jt) < left && int(ins.Jf) < left
	case classRET:
		return ins.Op == opReturn || ins.Op == opReturnA
	default:
		return ins.Op == classMISC|miscTAX || ins.Op == classMISC|miscTXA
	}
}

func validLoad(ins bpf.RawInstruction) bool {
	size, mode := ins.Op&sizeMask, ins.Op&modeMask
	if ins.Op >= 0x100 || size == sizeMask {
		return false
	}
	switch mode {
	case modeIMM, modeLEN:
		return size == sizeW
	case modeMEM:
		return size == sizeW && ins.K < scratchWords
	case modeABS, modeIND:
		return ins.Op&classMask == classLD
	case modeMSH:
		return ins.Op&classMask == classLDX && size == sizeB
	default:
		return false
	}
}

// accepts runs the program over a frame of wire octets of which data was captured.
func (v *machine) accepts(data []byte, wire uint32) bool {
	v.packet, v.wire, v.a, v.x = data, wire, 0, 0
	clear(v.m[:])
	for pc := 0; pc < len(v.prog); pc++ {
		ins := v.prog[pc]
		switch ins.Op & classMask {
		case classLD:
			value, ok := v.load(ins)
			if !ok {
				return false
			}
			v.a = value
		case classLDX:
			value, ok := v.load(ins)
			if !ok {
				return false
			}
			v.x = value
		case classST:
			v.m[ins.K] = v.a
		case classSTX:
			v.m[ins.K] = v.x
		case classALU:
			if !v.compute(ins) {
				return false
			}
		case classJMP:
			pc += v.jump(ins)
		case classRET:
			return ins.Op == opReturn && ins.K != 0 || ins.Op == opReturnA && v.a != 0
		case classMISC:
			if ins.Op == classMISC|miscTAX {
				v.x = v.a
			} else {
				v.a = v.x
			}
		}
	}
	return false
}

// load is false for a load that is not all within the packet.
func (v *machine) load(ins bpf.RawInstruction) (uint32, bool) {
	off := uint64(ins.K)
	switch ins.Op & modeMask {
	case modeIMM:
		return ins.K, true
	case modeLEN:
		return v.wire, true
	case modeMEM:
		return v.m[ins.K], true
	case modeMSH:
		if off >= uint64(len(v.packet)) {
			return 0, false
		}
		return uint32(v.packet[off]&0xf) * 4, true
	case modeIND:
		off += uint64(v.x)
	}
	if off >= uint64(len(v.packet)) {
		return 0, false
	}
	b := v.packet[off:]
	switch {
	case ins.Op&sizeMask == sizeB:
		return uint32(b[0]), true
	case ins.Op&sizeMask == sizeH && len(b) >= 2:
		return uint32(binary.BigEndian.Uint16(b)), true
	case ins.Op&sizeMask == sizeW && len(b) >= 4:
		return binary.BigEndian.Uint32(b), true
	default:
		return 0, false
	}
}

// compute is false for a division by zero.
func (v *machine) compute(ins bpf.RawInstruction) bool {
	by := ins.K
	if ins.Op&sourceX != 0 {
		by = v.x
	}
	switch ins.Op & opMask {
	case aluADD:
		v.a += by
	case aluSUB:
		v.a -= by
	case aluMUL:
		v.a *= by
	case aluDIV:
		if by == 0 {
			return false
		}
		v.a /= by
	case aluMOD:
		if by == 0 {
			return false
		}
		v.a %= by
	case aluOR:
		v.a |= by
	case aluAND:
		v.a &= by
	case aluLSH:
		v.a <<= by
	case aluRSH:
		v.a >>= by
	case aluNEG:
		v.a = -v.a
	case aluXOR:
		v.a ^= by
	}
	return true
}

// jump gives the number of instructions to skip.
func (v *machine) jump(ins bpf.RawInstruction) int {
	with := ins.K
	if ins.Op&sourceX != 0 {
		with = v.x
	}
	var yes bool
	switch ins.Op & opMask {
	case jmpJA:
		return int(ins.K)
	case jmpJEQ:
		yes = v.a == with
	case jmpJGT:
		yes = v.a > with
	case jmpJGE:
		yes = v.a >= with
	case jmpSET:
		yes = v.a&with != 0
	}
	if yes {
		return int(ins.Jt)
	}
	return int(ins.Jf)
}
