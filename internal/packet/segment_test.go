package packet_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// checkSegment holds that the segment of a frame begins with the ports that Decode read, and lies within the packet.
func checkSegment(t *testing.T, d *packet.Decoder, f *frame.Frame) {
	t.Helper()
	var p flow.Packet
	r := d.Decode(&p, f)
	s, ok := packet.Segment(f)
	switch {
	case r != packet.OK:
		return // then the result is of no use
	case !ok:
		t.Fatalf("no segment in an accounted frame: %+v", p)
	case s.Len < len(s.Data) || uint64(s.Len) > max(p.Bytes, uint64(f.Len)):
		t.Fatalf("a segment of %d octets, %d captured, in a packet of %d", s.Len, len(s.Data), p.Bytes)
	}
	if s.Fragment || p.SrcPort == 0 || p.Proto != flow.ProtoTCP && p.Proto != flow.ProtoUDP {
		return
	}
	if len(s.Data) < 4 || binary.BigEndian.Uint16(s.Data) != p.SrcPort || binary.BigEndian.Uint16(s.Data[2:]) != p.DstPort {
		t.Fatalf("the segment %x does not begin with the ports of %+v", s.Data[:min(len(s.Data), 8)], p)
	}
}

func TestSegmentBeginsWithThePorts(t *testing.T) {
	d := packet.NewDecoder(packet.Config{})
	for _, f := range fuzzSeeds() {
		checkSegment(t, d, &f)
	}
	for _, v := range versions {
		f := fragmentFrame(v, 17, piece{1, 0, 1}, udp)
		if s, ok := packet.Segment(&f); !ok || !s.Fragment {
			t.Errorf("IPv%d: a first fragment is taken for whole: %+v", v, s)
		}
	}
	for _, path := range captures("edge", "dns") {
		_ = walk(path, func(f *frame.Frame) { checkSegment(t, d, f) })
	}
}

func FuzzSegment(f *testing.F) {
	for _, c := range fuzzSeeds() {
		f.Add(uint32(c.Link), c.Len, c.Data)
	}
	d := packet.NewDecoder(packet.Config{})
	f.Fuzz(func(t *testing.T, link uint32, wire uint32, data []byte) {
		c := frame.Frame{Data: slices.Clip(data), Len: max(wire, uint32(len(data))), Link: frame.LinkType(link)}
		checkSegment(t, d, &c)
	})
}
