package capture

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"flowsensor/internal/frame"
)

// An excluded conversation is looked for behind each number of VLAN tags that may still be in the bytes (the kernel strips
// the outermost one), in each IP version. Each of these is a chain of checks: one that fails jumps over the rest of it,
// and what passes the last chain falls through. Each chain looks at the length first, because a load behind the packet's
// end ends the program and drops the packet, uncounted. Own traffic inside MPLS, PPPoE or a tunnel is not recognised.

const (
	etherHeader = 14
	tagLength   = 4
	// A mirrored trunk has at most the three tags that the decoder knows, one of them stripped.
	maxInnerTags = 2
	udpHeader    = 8
)

// layout is where an IP version keeps what tells a conversation: offsets from its header's first octet.
type layout struct {
	version             uint32
	etherType           uint32
	header              uint32 // the shortest
	proto               uint32
	source, destination uint32
}

var layouts = [...]layout{
	{version: 4, etherType: unix.ETH_P_IP, header: 20, proto: 9, source: 12, destination: 16},
	{version: 6, etherType: unix.ETH_P_IPV6, header: 40, proto: 6, source: 8, destination: 24},
}

// excludeProgram gives the instructions that drop the excluded conversations and fall through for anything else.
func excludeProgram(link frame.LinkType, exclude []Exclusion) []bpf.Instruction {
	var prog []bpf.Instruction
	for _, l := range layouts {
		for _, base := range l.bases(link) {
			var tuples []bpf.Instruction
			for _, e := range exclude {
				if e.Remote.Addr().Unmap().Is4() == (l.version == 4) {
					tuples = append(tuples, chain(l.tuple(base, e.Local, e.Remote), drop())...)
					tuples = append(tuples, chain(l.tuple(base, e.Remote, e.Local), drop())...)
				}
			}
			if len(tuples) > 0 {
				prog = append(prog, chain(append(l.reach(link, base), l.isUDP(base)...), tuples)...)
			}
		}
	}
	return prog
}

func drop() []bpf.Instruction { return []bpf.Instruction{bpf.RetConstant{Val: 0}} }

// bases gives where the IP header may begin.
func (l layout) bases(link frame.LinkType) []uint32 {
	if link != frame.Ethernet {
		return []uint32{0}
	}
	var all []uint32
	for tags := range uint32(maxInnerTags + 1) {
		all = append(all, etherHeader+tags*tagLength)
	}
	return all
}

// reach checks that an IP header of this version begins at base, and that it and a UDP header are all there.
func (l layout) reach(link frame.LinkType, base uint32) []check {
	checks := []check{{
		load: []bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtLen}}, cond: bpf.JumpGreaterOrEqual,
		vals: []uint32{base + l.header + udpHeader},
	}}
	if link != frame.Ethernet {
		return append(checks, check{
			load: []bpf.Instruction{bpf.LoadAbsolute{Off: base, Size: 1}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0}},
			vals: []uint32{l.version << 4},
		})
	}
	const typeOffset = etherHeader - 2
	for off := uint32(typeOffset); off < base-2; off += tagLength {
		checks = append(checks, check{
			load: []bpf.Instruction{bpf.LoadAbsolute{Off: off, Size: 2}},
			vals: []uint32{unix.ETH_P_8021Q, unix.ETH_P_8021AD, unix.ETH_P_QINQ1},
		})
	}
	return append(checks, check{load: []bpf.Instruction{bpf.LoadAbsolute{Off: base - 2, Size: 2}}, vals: []uint32{l.etherType}})
}

// isUDP checks for a UDP header right behind the IP header; IPv4: behind its options, in a first fragment, all of it
// there.
func (l layout) isUDP(base uint32) []check { return l.isProto(base, unix.IPPROTO_UDP) }

// hasPorts checks likewise for the first octets of a UDP or TCP header.
func (l layout) hasPorts(base uint32) []check {
	return l.isProto(base, unix.IPPROTO_UDP, unix.IPPROTO_TCP)
}

func (l layout) isProto(base uint32, protos ...uint32) []check {
	proto := check{load: []bpf.Instruction{bpf.LoadAbsolute{Off: base + l.proto, Size: 1}}, vals: protos}
	if l.version == 6 {
		return []check{proto}
	}
	const fragmentOffset = 0x1fff
	return []check{
		proto,
		{load: []bpf.Instruction{bpf.LoadAbsolute{Off: base + 6, Size: 2}}, cond: bpf.JumpBitsNotSet, vals: []uint32{fragmentOffset}},
		{load: []bpf.Instruction{
			bpf.LoadMemShift{Off: base},
			bpf.TXA{},
			bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: base + udpHeader},
			bpf.TAX{},
			bpf.LoadExtension{Num: bpf.ExtLen},
		}, cond: bpf.JumpGreaterOrEqual},
	}
}

// tuple checks the ports and addresses of one direction; what is zero or unspecified is not checked.
func (l layout) tuple(base uint32, from, to netip.AddrPort) []check {
	var checks []check
	for i, port := range []uint16{from.Port(), to.Port()} {
		if port == 0 {
			continue
		}
		load := []bpf.Instruction{bpf.LoadMemShift{Off: base}, bpf.LoadIndirect{Off: base + 2*uint32(i), Size: 2}}
		if l.version == 6 {
			load = []bpf.Instruction{bpf.LoadAbsolute{Off: base + l.header + 2*uint32(i), Size: 2}}
		}
		checks = append(checks, check{load: load, vals: []uint32{uint32(port)}})
	}
	checks = append(checks, addressChecks(base+l.source, from.Addr())...)
	return append(checks, addressChecks(base+l.destination, to.Addr())...)
}

func addressChecks(off uint32, addr netip.Addr) []check {
	if !addr.IsValid() || addr.IsUnspecified() {
		return nil
	}
	var checks []check
	for words := addr.Unmap().AsSlice(); len(words) > 0; words = words[4:] {
		checks = append(checks, check{
			load: []bpf.Instruction{bpf.LoadAbsolute{Off: off, Size: 4}}, vals: []uint32{binary.BigEndian.Uint32(words)},
		})
		off += 4
	}
	return checks
}

// check is one step of a chain: load something into A and go on where it compares so with one of vals, or with X where
// there are none.
type check struct {
	load []bpf.Instruction
	cond bpf.JumpTest // the zero value is "equal"
	vals []uint32
}

// chain gives the instructions that run body when all checks pass, and jump behind it when one fails.
func chain(checks []check, body []bpf.Instruction) []bpf.Instruction {
	for _, c := range slices.Backward(checks) {
		ins := slices.Clone(c.load)
		for i, v := range c.vals {
			ins = append(ins, bpf.JumpIf{Cond: c.cond, Val: v, SkipTrue: uint8(len(c.vals) - i)})
		}
		if len(c.vals) == 0 {
			ins = append(ins, bpf.JumpIfX{Cond: c.cond, SkipTrue: 1})
		}
		// Not a conditional jump: those reach 255 instructions only.
		ins = append(ins, bpf.Jump{Skip: uint32(len(body))})
		body = append(ins, body...)
	}
	return body
}
