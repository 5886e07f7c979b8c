package packet

import "flowsensor/internal/flow"

// Protocols with ports besides those that flow names.
const (
	protoDCCP    = 33
	protoUDPLite = 136
)

// Octets of a transport header that are read.
const (
	portsSize    = 4
	tcpFlagsSize = 14
	icmpSize     = 2      // type and code
	tcpFlagsMask = 0x0fff // RFC 9293 section 3.1: below the data offset, reserved bits included
	tcpHeaderMin = 0x5000 // a data offset below five words is no TCP header, and its flags are noise
)

// transport reads the ports at the front of b: what was captured behind the IP headers, without padding.
func (d *Decoder) transport(p *flow.Packet, b []byte) {
	switch p.Proto {
	case flow.ProtoTCP:
		if len(b) < tcpFlagsSize {
			d.counters.note(NotePortsTruncated)
			p.SrcPort, p.DstPort = ports(b)
			return
		}
		p.SrcPort, p.DstPort = be16(b), be16(b[2:])
		if word := be16(b[12:]); word >= tcpHeaderMin {
			p.TCPFlags = word & tcpFlagsMask
		}
	case flow.ProtoUDP, flow.ProtoSCTP, protoDCCP, protoUDPLite:
		if len(b) < portsSize {
			d.counters.note(NotePortsTruncated)
		}
		p.SrcPort, p.DstPort = ports(b)
	case flow.ProtoICMP, flow.ProtoICMPv6:
		if len(b) < icmpSize {
			d.counters.note(NotePortsTruncated)
			return
		}
		p.DstPort = be16(b)
	}
}

// ports reads both ports, or none.
func ports(b []byte) (src, dst uint16) {
	if len(b) < portsSize {
		return 0, 0
	}
	return be16(b), be16(b[2:])
}
