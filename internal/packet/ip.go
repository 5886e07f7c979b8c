package packet

import "flowsensor/internal/flow"

// Sizes of the fixed headers, in octets.
const (
	ipv4Header = 20
	ipv6Header = 40
)

// The IPv4 word of flags and fragment offset.
const (
	ipv4More   = 0x2000
	ipv4Offset = 0x1fff
)

// within gives what was captured of b from octet from up to octet to, which may lie beyond b.
func within(b []byte, from, to int) []byte {
	to = min(to, len(b))
	if from >= to {
		return nil
	}
	return b[from:to]
}

func (d *Decoder) ipv4(p *flow.Packet, b []byte, wire int) Reason {
	if len(b) < ipv4Header {
		return IPv4Truncated
	}
	header, total := int(b[0]&0xf)*4, int(be16(b[2:4]))
	if header < ipv4Header || total < header && total != 0 {
		return IPv4Header
	}
	if total == 0 {
		total = wire
		d.counters.note(NoteLengthFromFrame)
	}
	p.Version, p.ToS, p.Proto, p.Bytes = 4, b[1], b[9], uint64(total)
	p.Src, p.Dst = flow.AddrFrom4(b[12:16]), flow.AddrFrom4(b[16:20])
	place := fragment{id: uint32(be16(b[4:6]))}
	switch flags := be16(b[6:8]); {
	case flags&ipv4Offset != 0:
		place.position = laterFragment
	case flags&ipv4More != 0:
		place.position = firstFragment
	}
	d.finish(p, within(b, header, total), place)
	return OK
}

func (d *Decoder) ipv6(p *flow.Packet, b []byte, wire int) Reason {
	if len(b) < ipv6Header {
		return IPv6Truncated
	}
	total := ipv6Header + int(be16(b[4:6]))
	p.Version, p.ToS, p.Proto = 6, uint8(be16(b[0:2])>>4), b[6]
	p.Src, p.Dst = flow.AddrFrom16(b[8:24]), flow.AddrFrom16(b[24:40])
	if total == ipv6Header {
		total = d.ipv6Length(b, wire)
	}
	p.Bytes = uint64(total)
	payload := within(b, ipv6Header, total)
	var place fragment
	if isExtension(p.Proto) {
		var followed bool
		if payload, place, followed = extensions(p, payload); !followed {
			d.counters.note(NoteExtensionCut)
		}
	}
	d.finish(p, payload, place)
	return OK
}

// ipv6Length is the length of a packet whose payload length is 0: a jumbogram (RFC 2675), a header with nothing behind it,
// or a segment that a network card was to cut or that the kernel merged to more than the field can hold; then nothing but
// the frame tells. A jumbogram is no longer than its frame, whatever it says. An empty packet in an Ethernet frame of the least size is not taken for the latter.
func (d *Decoder) ipv6Length(b []byte, wire int) int {
	const leastPayload = 46 // of an Ethernet frame (IEEE 802.3 clause 3.2.8)
	switch next := b[6]; {
	case next == headerHopByHop:
		length := ipv6Header + jumboLength(b[ipv6Header:])
		if length > wire { // of 32 bits: one small packet could claim 4 GiB of traffic
			d.counters.note(NoteLengthFromFrame)
			return wire
		}
		return length
	case next == headerNone || wire <= leastPayload:
		return ipv6Header
	default:
		d.counters.note(NoteLengthFromFrame)
		return wire
	}
}

// finish reads the ports, or gets them from where the first fragment left them.
func (d *Decoder) finish(p *flow.Packet, payload []byte, place fragment) {
	if place.position != laterFragment {
		d.transport(p, payload)
	}
	if place.position != wholePacket {
		p.Fragment = true
		d.join(p, place)
	}
}
