package capture

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// linkHeaders are what may stand between an EtherType and the next one, which ends it.
var linkHeaders = []struct {
	size       uint32
	etherTypes []uint32
}{
	{4, []uint32{unix.ETH_P_8021Q, unix.ETH_P_8021AD, unix.ETH_P_QINQ1, unix.ETH_P_QINQ2, unix.ETH_P_QINQ3}},
	{6, []uint32{unix.ETH_P_HSR}},
	{8, []uint32{0x8909}},      // Cisco meta data
	{4 + 14, []uint32{0x88e7}}, // a backbone tag, around an Ethernet frame
	{2 + 14, []uint32{0x8903}}, // FabricPath, around an Ethernet frame
	{6 + 14, []uint32{0x22f3}}, // TRILL without options, around an Ethernet frame
}

// maxSteerHeaders of them are stepped over: the tags of a mirrored trunk.
const maxSteerHeaders = 4

// link steps over what stands in front of IP.
func (s *steerer) link() {
	for range maxSteerHeaders {
		s.etherType()
		next := s.label()
		for _, h := range linkHeaders {
			match, other := s.label(), s.label()
			s.jumpIfAny(match, h.etherTypes...)
			s.jump(other)
			s.mark(match)
			s.load(h.size-2, 2)
			s.add(bpf.StoreScratch{Src: bpf.RegA, N: keepOther})
			s.move(h.size)
			s.add(bpf.LoadScratch{Dst: bpf.RegA, N: keepOther})
			s.jump(next)
			s.mark(other)
		}
		s.jump(s.mac)
		s.mark(next)
	}
	s.etherType()
	s.jump(s.mac)
}

// etherType goes where A, an EtherType or the length of an IEEE 802.3 frame, leads. skb->protocol has ETH_P_802_2 for the
// latter.
func (s *steerer) etherType() {
	const lengthMax = 1500
	s.jumpIfAny(s.ip, unix.ETH_P_IP, unix.ETH_P_IPV6)
	s.jumpIfAny(s.mpls, unix.ETH_P_MPLS_UC, unix.ETH_P_MPLS_MC)
	s.jumpIfAny(s.pppoe, unix.ETH_P_PPP_SES)
	s.jumpIf(bpf.JumpLessOrEqual, lengthMax, s.llc)
}

// logicalLink reads IEEE 802.2 and SNAP with an EtherType.
func (s *steerer) logicalLink() {
	const (
		header   = 8
		snap     = 0xaaaa0300 // both access points, control, the first octet of the organisation
		ethernet = 0x0000
		bridged  = 0x00f8 // IEEE 802.1H
	)
	typed := s.label()
	s.mark(s.llc)
	s.load(0, 4)
	s.jumpUnless(snap)
	s.load(4, 2)
	s.jumpIfAny(typed, ethernet, bridged)
	s.jump(s.mac)
	s.mark(typed)
	s.load(6, 2)
	s.add(bpf.StoreScratch{Src: bpf.RegA, N: keepOther})
	s.move(header)
	s.add(bpf.LoadScratch{Dst: bpf.RegA, N: keepOther})
	s.jumpIfAny(s.ip, unix.ETH_P_IP, unix.ETH_P_IPV6)
	s.jumpIfAny(s.mpls, unix.ETH_P_MPLS_UC)
	s.jump(s.mac)
}

// jumpUnless leaves for the MAC addresses where A is not val.
func (s *steerer) jumpUnless(val uint32) { s.jumpIf(bpf.JumpNotEqual, val, s.mac) }

// pointToPoint reads PPPoE (RFC 2516) and the PPP protocol field.
func (s *steerer) pointToPoint() {
	const (
		header   = 6
		protocol = 2
		ipv4     = 0x0021
		ipv6     = 0x0057
		mpls     = 0x0281
	)
	labelled := s.label()
	s.mark(s.pppoe)
	s.load(header, protocol)
	s.add(bpf.StoreScratch{Src: bpf.RegA, N: keepOther})
	s.move(header + protocol)
	s.add(bpf.LoadScratch{Dst: bpf.RegA, N: keepOther})
	s.jumpIfAny(s.ip, ipv4, ipv6)
	s.jumpIfAny(labelled, mpls)
	s.jump(s.mac)
	s.mark(labelled)
}

// labels steps over an MPLS stack (RFC 3032), as many labels as the decoder takes. What follows shows by its first nibble.
func (s *steerer) labels() {
	const (
		size      = 4
		maxLabels = 32
		bottom    = 0x100
	)
	last := s.label()
	s.mark(s.mpls)
	for range maxLabels {
		s.load(0, size)
		s.jumpIf(bpf.JumpBitsSet, bottom, last)
		s.move(size)
	}
	s.jump(s.mac)
	s.mark(last)
	s.move(size)
}
