package packet

import (
	"encoding/binary"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// cursor is a frame being walked: what is left of it behind the headers read so far, and the tags they held.
type cursor struct {
	b         []byte // captured octets from the next header on
	wire      int    // octets on the wire from the next header on, at least len(b)
	vlan      flow.VLAN
	vlanInner flow.VLAN
}

// skip steps over n captured octets, which must be there.
func (c *cursor) skip(n int) {
	c.b = c.b[n:]
	c.wire -= n
}

// trim forgets what lies beyond the next n octets: padding and trailers.
func (c *cursor) trim(n int) {
	c.wire = min(c.wire, n)
	c.b = c.b[:min(len(c.b), n)]
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// Decode reads one frame. On OK every field of p is set; otherwise the frame is refused and counted, and p holds nothing
// of use. It reads nothing outside f.Data and keeps nothing of it.
func (d *Decoder) Decode(p *flow.Packet, f *frame.Frame) Reason {
	wire := max(int(f.Len), len(f.Data))
	r := d.decode(p, f, wire)
	if r != OK {
		d.counters.refuse(r, wire)
	}
	return r
}

func (d *Decoder) decode(p *flow.Packet, f *frame.Frame, wire int) Reason {
	b, vlan, vlanInner := f.Data, f.VLAN, flow.VLAN(0)
	next := plain(f)
	if next != 0 {
		b, wire = b[etherHeader:], wire-etherHeader
	} else {
		c := cursor{b: b, wire: wire, vlan: vlan}
		var r Reason
		if next, r = c.walk(layerOf(f.Link)); r != OK {
			return r
		}
		b, wire, vlan, vlanInner = c.b, c.wire, c.vlan, c.vlanInner
	}
	p.Time, p.IfIndex, p.Packets = f.Time, f.IfIndex, 1
	p.VLAN, p.VLANInner = vlan, vlanInner
	p.Key.VLAN, p.Key.VLANInner = vlan&d.keyVLAN, vlanInner&d.keyVLAN
	p.SrcPort, p.DstPort, p.TCPFlags, p.Fragment = 0, 0, 0, false

	// The version in the header decides, as every dissector has it, since EtherType 0x0800 in front of an IPv6 header does
	// occur; the other way round is refused.
	r := IPVersion
	switch {
	case len(b) == 0:
		return truncatedIP(next)
	case b[0]>>4 == 4 && next != etherIPv6:
		r = d.ipv4(p, b, wire)
	case b[0]>>4 == 6:
		r = d.ipv6(p, b, wire)
	}
	if f.SegmentSize != 0 && r == OK {
		d.unmerge(p, b, f.SegmentSize, f.SegmentProto)
	}
	return r
}

// plain tells IP directly behind an Ethernet header, which is most of all frames, and gives 0 for every other frame.
func plain(f *frame.Frame) layer {
	if f.Link != frame.Ethernet || len(f.Data) < etherHeader {
		return 0
	}
	if t := layer(be16(f.Data[12:14])); t == etherIPv4 || t == etherIPv6 {
		return t
	}
	return 0
}

func truncatedIP(announced layer) Reason {
	if announced == etherIPv6 {
		return IPv6Truncated
	}
	return IPv4Truncated
}
