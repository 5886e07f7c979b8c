package packet_test

import (
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

const second = int64(time.Second)

// fragmentFrame builds one fragment of a datagram of either version; offset in units of eight octets.
func fragmentFrame(version, proto, id, offset int, last bool, content []byte) frame.Frame {
	more := 1
	if last {
		more = 0
	}
	h := ip{version: version, proto: proto, id: id, flags: more<<13 | offset}
	if version == 6 {
		h.proto, h.chain = 44, fragment(proto, offset, more, id)
	}
	return on(frame.Ethernet, h.inEthernet(content))
}

// at gives f another time, in nanoseconds after its own.
func at(f frame.Frame, ns int64) frame.Frame {
	f.Time += ns
	return f
}

// step is a frame and the ports and notes it has to get.
type step struct {
	frame   frame.Frame
	port    uint16 // source port
	proto   uint8
	unknown bool // counted as a fragment without a first one
}

func TestFragments(t *testing.T) {
	for _, v := range versions {
		first := fragmentFrame(v, 17, 1, 0, false, join(udp, zeros(16)))
		middle, last := fragmentFrame(v, 17, 1, 4, false, zeros(32)), fragmentFrame(v, 17, 1, 8, true, zeros(5))
		otherPorts := fragmentFrame(v, 17, 1, 0, false, join(octets("1111 2222 0010 0000"), zeros(8)))
		otherID := fragmentFrame(v, 17, 2, 4, true, zeros(32))
		whole := fragmentFrame(v, 17, 1, 0, true, udp)
		tiny := fragmentFrame(v, 6, 3, 0, false, tcpSYN[:8])
		tinyLater := fragmentFrame(v, 6, 3, 1, true, tcpSYN[8:])
		portless := fragmentFrame(v, 6, 4, 0, false, tcpSYN[:2])
		for name, steps := range map[string][]step{
			"in order":            {{first, 40000, 17, false}, {middle, 40000, 17, false}, {last, 40000, 17, false}},
			"twice":               {{first, 40000, 17, false}, {last, 40000, 17, false}, {last, 40000, 17, false}},
			"first one late":      {{last, 0, 17, true}, {first, 40000, 17, false}, {middle, 40000, 17, false}},
			"another packet":      {{first, 40000, 17, false}, {otherID, 0, 17, true}},
			"written again":       {{first, 40000, 17, false}, {otherPorts, 0x1111, 17, false}, {middle, 0x1111, 17, false}},
			"not a fragment":      {{whole, 40000, 17, false}, {middle, 0, 17, true}},
			"just in time":        {{first, 40000, 17, false}, {at(middle, 30*second-1), 40000, 17, false}},
			"too late":            {{first, 40000, 17, false}, {at(middle, 30*second), 0, 17, true}},
			"not kept alive":      {{first, 40000, 17, false}, {at(middle, 20*second), 40000, 17, false}, {at(last, 40*second), 0, 17, true}},
			"clock a little back": {{first, 40000, 17, false}, {at(middle, -second), 40000, 17, false}},
			"clock far back":      {{first, 40000, 17, false}, {at(middle, -3600*second), 0, 17, true}},
			"tiny":                {{tiny, 40000, 6, false}, {tinyLater, 40000, 6, false}},
			"without ports":       {{portless, 0, 6, false}},
		} {
			d := packet.NewDecoder(packet.Config{})
			for i, s := range steps {
				before := d.Stats().Notes[packet.NoteFragmentUnmatched]
				p := stale()
				r := d.Decode(&p, &s.frame)
				unknown := d.Stats().Notes[packet.NoteFragmentUnmatched] > before
				if r != packet.OK || p.SrcPort != s.port || p.Proto != s.proto || p.TCPFlags != 0 || unknown != s.unknown {
					t.Errorf("IPv%d, %s, step %d: %v, port %d, protocol %d, flags %#x, unknown %v; want %d, %d, 0, %v",
						v, name, i, r, p.SrcPort, p.Proto, p.TCPFlags, unknown, s.port, s.proto, s.unknown)
				}
				if want := uint64(len(s.frame.Data) - 14); p.Bytes != want {
					t.Errorf("IPv%d, %s, step %d: %d octets, want %d", v, name, i, p.Bytes, want)
				}
			}
		}
	}
}

// TestFragmentKey holds what the fragments of one packet have in common: for IPv4 the protocol too, for IPv6 not, since
// later fragments may name another next header (RFC 8200 section 4.5).
func TestFragmentKey(t *testing.T) {
	for v, want := range map[int]uint16{4: 0, 6: 40000} {
		d := packet.NewDecoder(packet.Config{})
		first, later := fragmentFrame(v, 17, 1, 0, false, join(udp, zeros(8))), fragmentFrame(v, 60, 1, 3, true, zeros(8))
		var p flow.Packet
		d.Decode(&p, &first)
		d.Decode(&p, &later)
		if p.SrcPort != want {
			t.Errorf("IPv%d: port %d, want %d", v, p.SrcPort, want)
		}
	}
}

// TestFragmentLearnsProtocol has the transport header behind a destination options header in the fragmentable part.
func TestFragmentLearnsProtocol(t *testing.T) {
	d := packet.NewDecoder(packet.Config{})
	first := fragmentFrame(6, 60, 1, 0, false, join(extension(17, zeros(6)), udp))
	later := fragmentFrame(6, 60, 1, 3, true, zeros(8))
	orphan := fragmentFrame(6, 60, 9, 3, true, zeros(8))
	var p flow.Packet
	d.Decode(&p, &first)
	if p.Proto != 17 || p.SrcPort != 40000 {
		t.Errorf("first: protocol %d, port %d", p.Proto, p.SrcPort)
	}
	d.Decode(&p, &later)
	if p.Proto != 17 || p.SrcPort != 40000 {
		t.Errorf("later: protocol %d, port %d", p.Proto, p.SrcPort)
	}
	d.Decode(&p, &orphan)
	if p.Proto != 60 || p.SrcPort != 0 {
		t.Errorf("without a first one: protocol %d, port %d", p.Proto, p.SrcPort)
	}
}

// TestFragmentTableIsBounded fills the table beyond its size: what goes is counted, and nothing is lost but ports.
func TestFragmentTableIsBounded(t *testing.T) {
	const size, packets = 64, 1000
	d := packet.NewDecoder(packet.Config{MaxFragments: size})
	var p flow.Packet
	for id := range packets {
		f := at(fragmentFrame(4, 17, id, 0, false, join(udp, zeros(16))), int64(id))
		d.Decode(&p, &f)
	}
	matched := uint64(0)
	for id := range packets {
		f := at(fragmentFrame(4, 17, id, 4, true, zeros(8)), packets)
		if r := d.Decode(&p, &f); r != packet.OK || p.Bytes != 28 {
			t.Fatalf("id %d: %v, %d octets", id, r, p.Bytes)
		}
		if p.SrcPort == 40000 {
			matched++
		}
	}
	s := d.Stats()
	if matched > size || matched < size/2 {
		t.Errorf("%d joined of a table of %d", matched, size)
	}
	if evicted := s.Notes[packet.NoteFragmentEvicted]; evicted != packets-matched {
		t.Errorf("%d evicted, want %d", evicted, packets-matched)
	}
	if unmatched := s.Notes[packet.NoteFragmentUnmatched]; unmatched != packets-matched {
		t.Errorf("%d unmatched, want %d", unmatched, packets-matched)
	}
}

// TestFragmentTableForgets has entries that are too old make room without being counted.
func TestFragmentTableForgets(t *testing.T) {
	d := packet.NewDecoder(packet.Config{MaxFragments: 16, FragmentTimeout: time.Second})
	var p flow.Packet
	for id := range 100 {
		f := at(fragmentFrame(4, 17, id, 0, false, udp), int64(id)*second)
		d.Decode(&p, &f)
	}
	if n := d.Stats().Notes[packet.NoteFragmentEvicted]; n != 0 {
		t.Errorf("%d evicted", n)
	}
}
