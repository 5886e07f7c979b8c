package capture

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"flowsensor/internal/frame"
)

// maxInstructions is BPF_MAXINSNS of linux/bpf_common.h.
const maxInstructions = 4096

// rejectAll is the filter of a socket that takes nothing.
func rejectAll() []bpf.RawInstruction { return []bpf.RawInstruction{{Op: opReturn}} }

// buildFilter gives the kernel filter of a tap: it drops what this machine sends (the interface of a mirror port sends
// nothing that was on the mirrored wire, and loopback would count everything twice) and the excluded conversations, and
// ends with the user's program, or with taking everything; what it takes is cut to snap octets.
//
// PACKET_IGNORE_OUTGOING would be simpler, but a fanout group ignores it, and its fanout flag is silently ignored by
// older kernels.
func buildFilter(snap int, link frame.LinkType, exclude []Exclusion, user []bpf.RawInstruction) ([]bpf.RawInstruction, error) {
	ins := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType}, // sll_pkttype
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipFalse: 1},
		bpf.RetConstant{Val: 0},
	}
	ins = append(ins, excludeProgram(link, exclude)...)
	if len(user) == 0 {
		ins = append(ins, bpf.RetConstant{Val: uint32(snap)})
	}
	prog, err := bpf.Assemble(ins)
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	if len(user) > 0 {
		tail, err := returnSnap(user, snap)
		if err != nil {
			return nil, err
		}
		prog = append(prog, tail...) // jumps are relative and forward only, so programs may be chained
	}
	if len(prog) > maxInstructions {
		return nil, fmt.Errorf("the filter takes %d instructions, the kernel allows %d: shorten the filter expression", len(prog), maxInstructions)
	}
	return prog, nil
}

// returnSnap makes every accepting return of prog return snap.
func returnSnap(prog []bpf.RawInstruction, snap int) ([]bpf.RawInstruction, error) {
	prog = slices.Clone(prog)
	for i := range prog {
		switch prog[i].Op {
		case opReturn:
			if prog[i].K != 0 {
				prog[i].K = uint32(snap)
			}
		case opReturnA:
			return nil, errors.New("the compiled filter returns a computed length, which tcpdump's programs never do")
		}
	}
	return prog, nil
}
