package packet_test

import (
	"bytes"
	"slices"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// FuzzDecode decodes any octets as any link type, whole and cut.
func FuzzDecode(f *testing.F) {
	for _, c := range fuzzSeeds() {
		f.Add(uint32(c.Link), uint16(c.VLAN), c.Len, c.Data)
	}
	f.Fuzz(func(t *testing.T, link uint32, tag uint16, wire uint32, data []byte) {
		c := frame.Frame{Data: slices.Clip(data), Len: wire, Link: frame.LinkType(link), VLAN: flow.VLAN(tag), IfIndex: 7, Time: 99}
		p, r := decode(c)
		if r == packet.OK {
			checkPacket(t, p)
		}
		again := c
		again.Data = append(bytes.Clone(data), 0x45, 0xff, 0x11, 0x00, 0x60)[:len(data)]
		if q, s := decode(again); s != r || r == packet.OK && q != p {
			t.Errorf("what lies beyond the frame changes it: %v %+v, then %v %+v", r, p, s, q)
		}
		c.Len = max(c.Len, uint32(len(data)))
		for n := range data {
			checkCut(t, c, n)
		}
	})
}

func fuzzSeeds() []frame.Frame {
	seeds := []frame.Frame{
		on(frame.Ethernet, ip{version: 6, proto: 0, noLen: true, chain: jumbo(6, 70000)}.inEthernet(tcpSYN)),
		on(frame.Ethernet, ip{version: 4, proto: 6, noLen: true, options: zeros(40)}.inEthernet()[:40]), // header longer than the frame
	}
	for _, v := range versions {
		h := ip{version: v, proto: 6}
		for _, row := range linkRows() {
			seeds = append(seeds, on(row.link, row.build(h, h.wrap(tcpSYN))))
		}
		seeds = append(seeds, fragmentFrame(v, 17, piece{1, 0, 1}, udp), fragmentFrame(v, 17, piece{1, 4, 0}, udp))
	}
	for _, c := range benchFrames() {
		seeds = append(seeds, on(frame.Ethernet, c.data))
	}
	for _, path := range captures("mixed", "edge", "dns", "malformed", "netflow") {
		if first, ok := firstFrame(path); ok {
			seeds = append(seeds, first)
		}
	}
	return seeds
}

// checkCut holds that a frame of which only n octets were captured, if it is accounted, has the addresses of the whole one.
func checkCut(t *testing.T, whole frame.Frame, n int) {
	t.Helper()
	cut := whole
	cut.Data = whole.Data[:n:n]
	q, s := decode(cut)
	if s != packet.OK {
		return
	}
	checkPacket(t, q)
	p, r := decode(whole)
	if r != packet.OK || q.Src != p.Src || q.Dst != p.Dst || q.Version != p.Version || q.ToS != p.ToS {
		t.Errorf("cut at %d it is %+v, whole it is %v %+v", n, q, r, p)
	}
}

// checkPacket holds what is true of every packet that is accounted.
func checkPacket(t *testing.T, p flow.Packet) {
	t.Helper()
	least := map[uint8]uint64{4: 20, 6: 40}[p.Version]
	if least == 0 || p.Bytes < least || p.Packets != 1 || p.Time != 99 || p.IfIndex != 7 || p.Key.VLAN != 0 || p.Key.VLANInner != 0 {
		t.Errorf("implausible: %+v", p)
	}
	if p.Version == 4 && (p.Src.Hi|p.Dst.Hi != 0 || p.Src.Lo>>32|p.Dst.Lo>>32 != 0) {
		t.Errorf("IPv4 address beyond 32 bits: %+v", p)
	}
	if p.TCPFlags > 0xfff || p.TCPFlags != 0 && p.Proto != flow.ProtoTCP {
		t.Errorf("flags: %+v", p)
	}
	switch p.Proto {
	case 6, 17, 33, 132, 136:
	case 1, 58:
		if p.SrcPort != 0 {
			t.Errorf("ICMP with a source port: %+v", p)
		}
	default:
		if p.SrcPort != 0 || p.DstPort != 0 {
			t.Errorf("protocol without ports: %+v", p)
		}
	}
}

// FuzzFragments decodes two frames with one decoder: whatever the first one left behind, the second one keeps its addresses
// and octets, and is accounted or refused as it would be alone.
func FuzzFragments(f *testing.F) {
	for _, v := range versions {
		f.Add(fragmentFrame(v, 17, piece{1, 0, 1}, udp).Data, fragmentFrame(v, 17, piece{1, 4, 0}, udp).Data)
		f.Add(fragmentFrame(v, 6, piece{1, 0, 1}, tcpSYN[:8]).Data, fragmentFrame(v, 6, piece{1, 1, 0}, tcpSYN[8:]).Data)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := packet.NewDecoder(packet.Config{MaxFragments: 4})
		a, b := on(frame.Ethernet, first), on(frame.Ethernet, second)
		alone, want := decode(b)
		p := stale()
		d.Decode(&p, &a)
		p = stale()
		if r := d.Decode(&p, &b); r != want {
			t.Fatalf("%v behind another frame, %v alone", r, want)
		}
		if want != packet.OK {
			return
		}
		p.SrcPort, p.DstPort, p.Proto = alone.SrcPort, alone.DstPort, alone.Proto
		if p != alone {
			t.Errorf("behind another frame %+v, alone %+v", p, alone)
		}
	})
}
