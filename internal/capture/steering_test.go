package capture_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/net/bpf"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
)

// somewhere is a set of multipliers that is the same in each run.
func somewhere(seed uint64) (m capture.Multipliers) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range m {
		m[i] = random.Uint32() | 1
	}
	return m
}

// steering runs the fanout program in golang.org/x/net/bpf's machine, as the kernel runs it on what a card receives.
type steering struct {
	tb      testing.TB
	program []bpf.Instruction
	byProto map[uint16]*bpf.VM
}

func newSteering(tb testing.TB, m capture.Multipliers) *steering {
	tb.Helper()
	program, err := capture.SteerProgram(m)
	if err != nil {
		tb.Fatal(err)
	}
	return &steering{tb: tb, program: program, byProto: map[uint16]*bpf.VM{}}
}

const macHeader = 14

// machineFor gives the program with what that machine lacks put in its place: skb->protocol is a constant, and offsets
// count from the MAC header, behind which the kernel begins.
func (s *steering) machineFor(protocol uint16) *bpf.VM {
	if vm := s.byProto[protocol]; vm != nil {
		return vm
	}
	program := slices.Clone(s.program)
	for i, ins := range program {
		switch ins := ins.(type) {
		case bpf.LoadExtension:
			if ins.Num != bpf.ExtProto {
				s.tb.Fatalf("%v is not expected", ins)
			}
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: uint32(protocol)}
		case bpf.LoadAbsolute:
			off := ins.Off + macHeader
			if ins.Off >= capture.SKFLLOff {
				off = ins.Off - capture.SKFLLOff
			}
			program[i] = bpf.LoadAbsolute{Off: off, Size: ins.Size}
		case bpf.LoadIndirect:
			program[i] = bpf.LoadIndirect{Off: ins.Off + macHeader, Size: ins.Size}
		}
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.byProto[protocol] = vm
	return vm
}

// steer gives the program's number for a frame as it is on the wire, or in a file. The receiving kernel has taken the MAC
// header (eth_type_trans) and the outermost tag of the two kinds that it knows (skb_vlan_untag) off the front.
func (s *steering) steer(link frame.LinkType, data []byte) int {
	protocol, head := uint16(0x0800), make([]byte, macHeader)
	if link == frame.Ethernet {
		if len(data) < macHeader {
			return 0
		}
		copy(head, data[:12])
		protocol, data = binary.BigEndian.Uint16(data[12:]), data[14:]
		if (protocol == 0x8100 || protocol == 0x88a8) && len(data) >= 4 {
			protocol, data = binary.BigEndian.Uint16(data[2:]), data[4:]
		}
		switch {
		case protocol >= 0x0600:
		case len(data) >= 2 && data[0] == 0xff && data[1] == 0xff:
			protocol = 1 // ETH_P_802_3
		default:
			protocol = 4 // ETH_P_802_2
		}
	} else if len(data) > 0 && data[0]>>4 == 6 {
		protocol = 0x86dd
	}
	n, err := s.machineFor(protocol).Run(append(head, data...))
	if err != nil {
		s.tb.Fatal(err)
	}
	return int(uint32(n))
}

// capturesFolder holds captures that others made, where the machine has them.
const capturesFolder = "../../../shared/pcaps"

// beyondSteering are files with flows that the program does not know all of: one has the same flow in every encapsulation
// that there is, the other more extension headers than eight.
var beyondSteering = []string{"arkime-synthetic-kitchen-sink.pcap", "ipv6-exthdr-filter-set.pcap"}
