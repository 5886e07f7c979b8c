package dnsmsg

import (
	"encoding/binary"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// Port is where DNS servers answer from.
const Port = 53

// Sizes in octets.
const (
	udpHeader = 8
	tcpHeader = 20
	// messageMin is the header of a message (RFC 1035 section 4.1.1).
	messageMin = 12
	// lengthSize is the field in front of a message in TCP (RFC 1035 section 4.2.2).
	lengthSize = 2
)

// Segment reads the messages in the segment of a packet from port 53, and gives their answers to emit, which must not keep
// the pointer; what the answer holds it may keep. The packet is as the decoder of frames left it: its time is the answers'.
func (d *Decoder) Segment(p *flow.Packet, s frame.Segment, emit func(*flow.DNSAnswer)) {
	if s.Fragment {
		d.counters.count(Fragment)
		return
	}
	switch p.Proto {
	case flow.ProtoUDP:
		d.datagrams(p, s, emit)
	case flow.ProtoTCP:
		d.stream(p, s, emit)
	}
}

// answer reads one message and gives its answer out.
func (d *Decoder) answer(p *flow.Packet, message []byte, emit func(*flow.DNSAnswer)) {
	a := &d.scratch
	if d.Message(message, a) != OK {
		return
	}
	a.Client, a.Server, a.Version, a.Time = p.Dst, p.Src, p.Version, p.Time
	emit(a)
}

// datagrams reads a UDP datagram, or those that the kernel merged into one.
func (d *Decoder) datagrams(p *flow.Packet, s frame.Segment, emit func(*flow.DNSAnswer)) {
	if len(s.Data) < udpHeader {
		d.counters.count(short(s))
		return
	}
	length := int(binary.BigEndian.Uint16(s.Data[4:6]))
	if length < udpHeader || length > s.Len {
		d.counters.count(Header)
		return
	}
	b, left := s.Data[udpHeader:min(len(s.Data), length)], length-udpHeader
	each := left
	if s.Size != 0 {
		each = int(s.Size)
	}
	for left > 0 {
		n := min(each, left)
		if len(b) < n {
			d.counters.count(Cut)
			return
		}
		d.answer(p, b[:n], emit)
		b, left = b[n:], left-n
	}
}

// stream reads the messages that lie whole in a TCP segment. One without payload has none, and counts nowhere.
func (d *Decoder) stream(p *flow.Packet, s frame.Segment, emit func(*flow.DNSAnswer)) {
	if len(s.Data) < tcpHeader {
		d.counters.count(short(s))
		return
	}
	header := int(s.Data[12]>>4) * 4
	if header < tcpHeader || header > s.Len {
		d.counters.count(Header)
		return
	}
	b, left := s.Data[min(header, len(s.Data)):], s.Len-header
	for left > 0 {
		if left < lengthSize || len(b) < lengthSize {
			d.counters.count(partly(b, left))
			return
		}
		n := int(binary.BigEndian.Uint16(b))
		b, left = b[lengthSize:], left-lengthSize
		if n < messageMin || n > len(b) {
			d.counters.count(partly(b, left))
			return
		}
		d.answer(p, b[:n], emit)
		b, left = b[n:], left-n
	}
}

// partly says why a message of a stream is not whole in b, of left octets that were on the wire.
func partly(b []byte, left int) Reason {
	if len(b) < left {
		return Cut
	}
	return Split
}

// short says why there is no header.
func short(s frame.Segment) Reason {
	if len(s.Data) < s.Len {
		return Cut
	}
	return Header
}
