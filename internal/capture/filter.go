package capture

import (
	"errors"
	"fmt"
	"net/netip"
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
// nothing that was on the mirrored wire, and loopback would count everything twice) and the excluded conversations, takes
// its sample of the rest, and ends with the user's program, or with taking everything; what it takes is cut to the snap
// length, unless it comes from one of the ports that are taken whole. Chance does not look at the packet, so a sample of what the user's program takes is the same as what the
// program takes of a sample; this way round it runs for fewer packets.
//
// PACKET_IGNORE_OUTGOING would be simpler, but a fanout group ignores it, and its fanout flag is silently ignored by
// older kernels.
func buildFilter(cfg Config, link frame.LinkType, exclude []Exclusion, user []bpf.RawInstruction) ([]bpf.RawInstruction, error) {
	ins := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType}, // sll_pkttype
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipFalse: 1},
		bpf.RetConstant{Val: 0},
	}
	ins = append(ins, excludeProgram(link, exclude)...)
	ins = append(ins, sampleProgram(cfg.Sample)...)
	tail, err := acceptProgram(cfg, link, user)
	if err != nil {
		return nil, err
	}
	prog, err := bpf.Assemble(append(ins, tail...)) // jumps are relative and forward only, so programs may be chained
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	if len(prog) > maxInstructions {
		return nil, fmt.Errorf("the filter takes %d instructions, the kernel allows %d: shorten the filter expression", len(prog), maxInstructions)
	}
	return prog, nil
}

// sampleProgram gives the instructions that drop all but one packet in n and fall through for that one: the kernel's random
// number (bpf_user_rnd_u32 in kernel/bpf/core.c) is below 2^32/n. A threshold is as near to 1/n as a remainder would be,
// exact for powers of two, and costs no division.
func sampleProgram(n int) []bpf.Instruction {
	if n <= 1 {
		return nil
	}
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtRand},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: uint32((1<<32 + uint64(n)/2) / uint64(n)), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
}

// acceptProgram gives the instructions that decide: the user's, returning the snap length, and once more, returning all, for
// what comes from one of the full ports.
func acceptProgram(cfg Config, link frame.LinkType, user []bpf.RawInstruction) ([]bpf.Instruction, error) {
	if len(user) == 0 {
		user = []bpf.RawInstruction{{Op: opReturn, K: 1}}
	}
	cut, err := returnSnap(user, cfg.SnapLength)
	if err != nil {
		return nil, err
	}
	if len(cfg.FullPorts) == 0 {
		return instructions(cut), nil
	}
	whole, err := returnSnap(user, maxSnapLength)
	if err != nil {
		return nil, err
	}
	prog := append(fullPortProgram(link, cfg.FullPorts, len(cut)), instructions(cut)...)
	return append(prog, instructions(whole)...), nil
}

// fullPortProgram gives the instructions that skip what follows them and the next past instructions for a TCP or UDP packet
// from one of the ports, and fall through for anything else: other packets, later fragments, and what stands behind extension
// headers or MPLS labels.
func fullPortProgram(link frame.LinkType, ports []uint16, past int) (prog []bpf.Instruction) {
	for _, l := range layouts {
		for _, base := range l.bases(link) {
			for _, port := range ports {
				checks := append(l.reach(link, base), l.hasPorts(base)...)
				checks = append(checks, l.tuple(base, netip.AddrPortFrom(netip.Addr{}, port), netip.AddrPort{})...)
				// Built from the end: what is there already stands between this chain and the cut program.
				body := []bpf.Instruction{bpf.Jump{Skip: uint32(len(prog) + past)}}
				prog = append(chain(checks, body), prog...)
			}
		}
	}
	return prog
}

func instructions(raw []bpf.RawInstruction) []bpf.Instruction {
	all := make([]bpf.Instruction, len(raw))
	for i, ins := range raw {
		all[i] = ins
	}
	return all
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
