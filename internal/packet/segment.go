package packet

import (
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// Segment finds what the outermost IP packet of a frame carries, for those that look behind the ports. The frame is one
// that Decode took; of any other the result is false, or of no use. It counts nothing.
func Segment(f *frame.Frame) (frame.Segment, bool) {
	c := cursor{b: f.Data, wire: max(int(f.Len), len(f.Data))}
	if _, r := c.walk(layerOf(f.Link)); r != OK || len(c.b) == 0 {
		return frame.Segment{}, false
	}
	switch version := c.b[0] >> 4; {
	case version == 4 && len(c.b) >= ipv4Header:
		return segmentIPv4(&c, f.SegmentSize), true
	case version == 6 && len(c.b) >= ipv6Header:
		return segmentIPv6(&c, f.SegmentSize), true
	default:
		return frame.Segment{}, false
	}
}

func segmentIPv4(c *cursor, size uint16) frame.Segment {
	header, total := int(c.b[0]&0xf)*4, int(be16(c.b[2:4]))
	if total == 0 {
		total = c.wire
	}
	return frame.Segment{
		Data: within(c.b, header, total), Len: max(total-header, 0), Size: size, Fragment: be16(c.b[6:8])&(ipv4More|ipv4Offset) != 0,
	}
}

func segmentIPv6(c *cursor, size uint16) frame.Segment {
	total := ipv6Header + int(be16(c.b[4:6]))
	if total == ipv6Header {
		total = c.wire
	}
	payload := within(c.b, ipv6Header, total)
	p := flow.Packet{Key: flow.Key{Proto: c.b[6]}}
	rest, place, _ := extensions(&p, payload)
	return frame.Segment{
		Data: rest, Len: max(total-ipv6Header-(len(payload)-len(rest)), 0), Size: size, Fragment: place.position != wholePacket,
	}
}
