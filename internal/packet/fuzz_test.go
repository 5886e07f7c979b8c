package packet_test

import (
	"bytes"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// FuzzDecode decodes any octets as any link type.
func FuzzDecode(f *testing.F) {
	add := func(c frame.Frame) { f.Add(uint32(c.Link), uint16(c.VLAN), c.Len, c.Data) }
	for _, v := range versions {
		h := ip{version: v, proto: 6}
		for _, row := range linkRows() {
			add(on(row.link, row.build(h, h.wrap(tcpSYN))))
		}
		add(fragmentFrame(v, 17, 1, 0, false, udp))
		add(fragmentFrame(v, 17, 1, 4, true, udp))
	}
	for _, c := range benchFrames() {
		add(on(frame.Ethernet, c.data))
	}
	add(on(frame.Ethernet, ip{version: 6, proto: 0, noLen: true, chain: jumbo(6, 70000)}.inEthernet(tcpSYN)))
	add(on(frame.Ethernet, join(ethernet, macsecOnly, etherIPv4))) // the integrity check value is longer than the rest
	for _, path := range captures("mixed", "edge", "dns", "malformed", "netflow") {
		if first, ok := firstFrame(path); ok {
			add(first)
		}
	}
	f.Fuzz(func(t *testing.T, link uint32, tag uint16, wire uint32, data []byte) {
		c := frame.Frame{Data: data[:len(data):len(data)], Len: wire, Link: frame.LinkType(link), VLAN: flow.VLAN(tag), IfIndex: 7, Time: 99}
		p, r := decode(c)
		if r == packet.OK {
			checkPacket(t, p)
		}
		again := c
		again.Data = append(bytes.Clone(data), 0x45, 0xff, 0x11, 0x00, 0x60)[:len(data)]
		if q, s := decode(again); q != p || s != r {
			t.Errorf("what lies beyond the frame changes it: %v %+v, then %v %+v", r, p, s, q)
		}
		for n := range data {
			cut := c
			cut.Data, cut.Len = data[:n:n], max(c.Len, uint32(len(data)))
			q, s := decode(cut)
			if s != packet.OK {
				continue
			}
			checkPacket(t, q)
			if r != packet.OK || q.Src != p.Src || q.Dst != p.Dst || q.Version != p.Version || q.ToS != p.ToS {
				t.Errorf("cut at %d it is %v %+v, whole it is %v %+v", n, s, q, r, p)
			}
		}
	})
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
		f.Add(fragmentFrame(v, 17, 1, 0, false, udp).Data, fragmentFrame(v, 17, 1, 4, true, udp).Data)
		f.Add(fragmentFrame(v, 6, 1, 0, false, tcpSYN[:8]).Data, fragmentFrame(v, 6, 1, 1, true, tcpSYN[8:]).Data)
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
		p.SrcPort, p.DstPort, p.Proto = alone.SrcPort, alone.DstPort, alone.Proto
		if p != alone {
			t.Errorf("behind another frame %+v, alone %+v", p, alone)
		}
	})
}
