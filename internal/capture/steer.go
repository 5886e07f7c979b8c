package capture

import (
	"crypto/rand"
	"encoding/binary"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The program of FanoutFlow gives a number for each packet, whose remainder by the number of workers is the worker
// (fanout_demux_bpf in net/packet/af_packet.c). It goes by the address pair, and by the ports too where a whole packet has
// them, in the same way in both directions: packets of one flow meet one worker, and so do its reverse flow and all
// fragments of one pair, the first one of a datagram among them, because the later ones do not tell their ports.
//
// It runs before a ring's own hook, so what it sees is not the frame that the ring gets: the packet begins behind the MAC
// header and behind the outermost VLAN tag, at what skb->protocol names (__netif_receive_skb_core in net/core/dev.c).
// Offsets are therefore counted from there; offsets by SKF_NET_OFF would be the same place, but reach only as far as the
// driver's linear buffer (bpf_internal_load_pointer_neg_helper), which may end behind the MAC header. A copy of what this
// machine sends begins at its MAC header, and goes anywhere: every ring's filter drops it.
//
// What the decoder takes apart and this does not (LLC without SNAP, time stamps, security tags, deep stacks of anything)
// goes by its pair of MAC addresses, as does what is no IP. A load behind a packet's end ends the program with 0, which is
// a worker as good as any for a packet that is cut.

// skfLLOff is SKF_LL_OFF of linux/filter.h, -0x200000: loads from there on count from the MAC header.
const skfLLOff = 0xffe00000

// steerWords is how many different words of a packet are hashed: four of an address, and the ports.
const steerWords = 5

// multipliers make each tap's hash another one: nobody outside can choose flows that all meet one worker. They are odd, so
// that none loses a bit of what it multiplies.
type multipliers [steerWords + 2]uint32

func newMultipliers() (m multipliers) {
	var b [4 * len(m)]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program where the kernel gives no random bytes
	for i := range m {
		m[i] = binary.NativeEndian.Uint32(b[4*i:]) | 1
	}
	return m
}

// Scratch words.
const (
	keepBase  = iota // where the IPv6 header begins
	keepFrom         // the source end, as far as it is hashed
	keepTo           // the destination end
	keepOther        // a value while X is moved
)

// steerer writes the program. X is where the header in turn begins.
type steerer struct {
	assembler

	m                                                        multipliers
	plain, llc, pppoe, mpls, ip, extensions, ports, mac, mix label
}

// steerProgram gives the program for PACKET_FANOUT_CBPF.
func steerProgram(m multipliers) ([]bpf.Instruction, error) {
	s := &steerer{m: m}
	for _, l := range []*label{&s.plain, &s.llc, &s.pppoe, &s.mpls, &s.ip, &s.extensions, &s.ports, &s.mac, &s.mix} {
		*l = s.label()
	}
	s.add(bpf.LoadConstant{Dst: bpf.RegX}, bpf.LoadExtension{Num: bpf.ExtProto})
	s.jumpIfAny(s.plain, unix.ETH_P_IP, unix.ETH_P_IPV6)
	s.link()
	s.logicalLink()
	s.pointToPoint()
	s.labels()
	s.mark(s.ip)
	s.network(indirect)
	s.mark(s.plain)
	s.network(absolute)
	s.chain()
	s.transport()
	s.macPair()
	s.finalMix()
	return s.finish()
}

// move sets X forward. A is lost.
func (s *steerer) move(n uint32) {
	s.add(bpf.TXA{}, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: n}, bpf.TAX{})
}

func (s *steerer) load(off uint32, size int) { s.add(indirect(off, size)) }

// indirect loads from the header in turn.
func indirect(off uint32, size int) bpf.Instruction { return bpf.LoadIndirect{Off: off, Size: size} }

// absolute loads from the packet's front: X is 0. The kernel makes a few instructions of it where it calls a function for
// the other (convert_bpf_ld_abs in net/core/filter.c).
func absolute(off uint32, size int) bpf.Instruction { return bpf.LoadAbsolute{Off: off, Size: size} }

func (s *steerer) jumpIfAny(to label, vals ...uint32) {
	for _, v := range vals {
		s.jumpIf(bpf.JumpEqual, v, to)
	}
}

// network tells the IP versions by the header, as the decoder does.
func (s *steerer) network(load func(off uint32, size int) bpf.Instruction) {
	version6 := s.label()
	s.add(load(0, 1), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0})
	s.jumpIfAny(version6, 6<<4)
	s.jumpUnless(4 << 4)
	s.version4(load)
	s.mark(version6)
	s.version6(load)
}

// portProtocols have ports in the first four octets.
var portProtocols = []uint32{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP, unix.IPPROTO_UDPLITE}

func (s *steerer) version4(load func(off uint32, size int) bpf.Instruction) {
	const moreOrOffset = 0x3fff // of a fragment
	for i, keep := range []int{keepFrom, keepTo} {
		s.add(load(12+4*uint32(i), 4))
		s.multiply(0)
		s.add(bpf.StoreScratch{Src: bpf.RegA, N: keep})
	}
	s.add(load(6, 2))
	s.jumpIf(bpf.JumpBitsSet, moreOrOffset, s.mix)
	s.add(
		load(9, 1),
		bpf.StoreScratch{Src: bpf.RegA, N: keepOther},
		load(0, 1),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2},
		bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.TAX{},
		bpf.LoadScratch{Dst: bpf.RegA, N: keepOther},
	)
	s.jumpIfAny(s.ports, portProtocols...)
	s.jump(s.mix)
}

func (s *steerer) multiply(word int) { s.add(bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: s.m[word]}) }

// maxSteerExtensions is how many IPv6 extension headers are stepped over: classic BPF has no loops. RFC 8200 has no use for
// more. A packet with more goes by its address pair.
const maxSteerExtensions = 8

func (s *steerer) version6(load func(off uint32, size int) bpf.Instruction) {
	const header, words = 40, 4
	s.add(bpf.StoreScratch{Src: bpf.RegX, N: keepBase})
	for i, keep := range []int{keepFrom, keepTo} {
		for word := range words {
			s.add(load(8+16*uint32(i)+4*uint32(word), 4))
			s.multiply(word)
			if word > 0 {
				s.add(bpf.LoadScratch{Dst: bpf.RegX, N: keep}, bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.LoadScratch{Dst: bpf.RegX, N: keepBase})
			}
			s.add(bpf.StoreScratch{Src: bpf.RegA, N: keep})
		}
	}
	s.add(load(6, 1), bpf.StoreScratch{Src: bpf.RegA, N: keepOther})
	s.move(header)
	s.jump(s.extensions)
}

// chain follows the extension headers.
func (s *steerer) chain() {
	s.mark(s.extensions)
	for range maxSteerExtensions {
		s.extension()
	}
	s.add(bpf.LoadScratch{Dst: bpf.RegA, N: keepOther})
	s.jumpIfAny(s.ports, portProtocols...)
	s.jump(s.mix)
}

// extension steps over one IPv6 extension header of the kind in keepOther, or leaves where that is none.
func (s *steerer) extension() {
	const fragmented = 0xfff9 // offset, or more to follow; else the fragment is the whole packet (RFC 6946)
	fragment, counted, words, next := s.label(), s.label(), s.label(), s.label()
	s.add(bpf.LoadScratch{Dst: bpf.RegA, N: keepOther})
	s.jumpIfAny(s.ports, portProtocols...)
	s.jumpIfAny(fragment, unix.IPPROTO_FRAGMENT)
	s.jumpIfAny(words, unix.IPPROTO_AH)
	s.jumpIfAny(counted, unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS, unix.IPPROTO_MH, protoHIP, protoShim6)
	s.jump(s.mix)

	s.mark(fragment)
	s.load(2, 2)
	s.jumpIf(bpf.JumpBitsSet, fragmented, s.mix)
	s.load(0, 1)
	s.add(bpf.StoreScratch{Src: bpf.RegA, N: keepOther})
	s.move(8)
	s.jump(next)

	s.mark(words) // RFC 4302: of four octets, less two
	s.stepBy(2, 2)
	s.jump(next)

	s.mark(counted) // RFC 8200: units of eight octets, less one
	s.stepBy(1, 3)
	s.mark(next)
}

// IPv6 extension headers that x/sys has no name for.
const (
	protoHIP   = 139
	protoShim6 = 140
)

// stepBy keeps an extension header's next header field, and steps over as much as its length field and less say, shifted.
func (s *steerer) stepBy(less, shift uint32) {
	s.load(0, 1)
	s.add(bpf.StoreScratch{Src: bpf.RegA, N: keepOther})
	s.load(1, 1)
	s.add(
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: less},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: shift},
		bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.TAX{},
	)
}

// transport adds the ports to their ends.
func (s *steerer) transport() {
	s.mark(s.ports)
	s.load(0, 4)
	s.add(bpf.StoreScratch{Src: bpf.RegA, N: keepOther}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16})
	s.port(keepFrom)
	s.add(bpf.LoadScratch{Dst: bpf.RegA, N: keepOther}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xffff})
	s.port(keepTo)
	s.jump(s.mix)
}

// port adds the port in A to its end.
func (s *steerer) port(keep int) {
	s.multiply(steerWords - 1)
	s.add(bpf.LoadScratch{Dst: bpf.RegX, N: keep}, bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.StoreScratch{Src: bpf.RegA, N: keep})
}

// macPair takes the lower octets of both MAC addresses for the ends.
func (s *steerer) macPair() {
	s.mark(s.mac)
	for i, keep := range []int{keepTo, keepFrom} {
		s.add(bpf.LoadAbsolute{Off: skfLLOff + 2 + 6*uint32(i), Size: 4})
		s.multiply(0)
		s.add(bpf.StoreScratch{Src: bpf.RegA, N: keep})
	}
}

// finalMix stirs each end, adds them, for a sum has no direction, and stirs the sum: the kernel takes its remainder, which
// for two workers is one bit.
func (s *steerer) finalMix() {
	s.mark(s.mix)
	s.add(bpf.LoadScratch{Dst: bpf.RegA, N: keepTo})
	s.stir(16, steerWords)
	s.add(bpf.StoreScratch{Src: bpf.RegA, N: keepTo}, bpf.LoadScratch{Dst: bpf.RegA, N: keepFrom})
	s.stir(16, steerWords)
	s.add(bpf.LoadScratch{Dst: bpf.RegX, N: keepTo}, bpf.ALUOpX{Op: bpf.ALUOpAdd})
	s.stir(15, steerWords+1)
	s.fold(16)
	s.add(bpf.RetA{})
}

// stir folds A and multiplies it.
func (s *steerer) stir(shift uint32, word int) {
	s.fold(shift)
	s.multiply(word)
}

// fold brings A's upper bits down. X is lost.
func (s *steerer) fold(shift uint32) {
	s.add(bpf.TAX{}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: shift}, bpf.ALUOpX{Op: bpf.ALUOpXor})
}
