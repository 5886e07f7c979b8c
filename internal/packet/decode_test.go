package packet_test

import (
	"fmt"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// decode reads one frame with a decoder of its own, into a packet full of an earlier one's values.
func decode(f frame.Frame) (flow.Packet, packet.Reason) {
	p := stale()
	r := packet.NewDecoder(packet.Config{MaxFragments: 4}).Decode(&p, &f)
	return p, r
}

// stale is a packet with no field at zero, so that a field that Decode forgets to set shows.
func stale() flow.Packet {
	p := flow.Packet{Time: 1, Bytes: 2, Packets: 3, TCPFlags: 4, VLAN: 5, VLANInner: 6}
	p.Key = flow.Key{
		Src: flow.Addr{Hi: 7, Lo: 8}, Dst: flow.Addr{Hi: 9, Lo: 10}, IfIndex: 11, SrcPort: 12, DstPort: 13, VLAN: 14, VLANInner: 15,
		Proto: 16, ToS: 17, Version: 18,
	}
	return p
}

// plainPacket is what every frame of version v made from the pieces of frames_test.go has in common.
func plainPacket(v int) flow.Packet {
	p := flow.Packet{Time: 1_700_000_000_000_000_000, Packets: 1}
	p.IfIndex, p.Version = 7, uint8(v)
	if v == 4 {
		p.Src, p.Dst = flow.AddrFrom4(src4), flow.AddrFrom4(dst4)
	} else {
		p.Src, p.Dst = flow.AddrFrom16(src6), flow.AddrFrom16(dst6)
	}
	return p
}

func tcpPacket(v int) flow.Packet {
	p := plainPacket(v)
	p.Proto, p.SrcPort, p.DstPort, p.TCPFlags = flow.ProtoTCP, 40000, 443, flow.SYN
	p.Bytes = uint64(map[int]int{4: 20, 6: 40}[v] + len(tcpSYN))
	return p
}

func vlan(id uint16) flow.VLAN { return flow.VLANFromTCI(id) }

var versions = []int{4, 6}

// linkRow is a frame whose link headers end at IP.
type linkRow struct {
	name        string
	link        frame.LinkType
	build       func(h ip, packet []byte) []byte
	vlan, inner flow.VLAN
}

// linkRows are tried with IPv4 and IPv6 alike.
func linkRows() []linkRow {
	tagged := func(tags ...[]byte) func(ip, []byte) []byte {
		return func(h ip, b []byte) []byte { return join(ethernet, join(tags...), h.etherType(), b) }
	}
	behind := func(front ...[]byte) func(ip, []byte) []byte {
		return func(_ ip, b []byte) []byte { return join(join(front...), b) }
	}
	typed := func(front ...[]byte) func(ip, []byte) []byte {
		return func(h ip, b []byte) []byte { return join(join(front...), h.etherType(), b) }
	}
	inner := func(front ...[]byte) func(ip, []byte) []byte {
		return func(h ip, b []byte) []byte { return join(ethernet, join(front...), ethernet, h.etherType(), b) }
	}
	return []linkRow{
		{"ethernet", frame.Ethernet, tagged(), 0, 0},
		{"tag", frame.Ethernet, tagged(tag10), vlan(10), 0},
		{"priority tag", frame.Ethernet, tagged(tag0), vlan(0), 0},
		{"two tags", frame.Ethernet, tagged(tag10, tag20), vlan(10), vlan(20)},
		{"three tags", frame.Ethernet, tagged(tag10, tag20, tag30), vlan(10), vlan(20)},
		{"802.1ad", frame.Ethernet, tagged(service, tag10), vlan(100), vlan(10)},
		{"TPIDs of old", frame.Ethernet, tagged(tag9100, tag9200, tag9300), vlan(200), vlan(201)},
		{"MPLS", frame.Ethernet, behind(ethernet, labels2), 0, 0},
		{"MPLS upstream", frame.Ethernet, behind(ethernet, labelUp), 0, 0},
		{"MPLS explicit null", frame.Ethernet, behind(ethernet, tag10, explicit0), vlan(10), 0},
		{"PPPoE", frame.Ethernet, func(h ip, b []byte) []byte { return join(ethernet, inPPPoE(h.pppType(), b), zeros(6)) }, 0, 0},
		{"PPPoE in QinQ", frame.Ethernet, func(h ip, b []byte) []byte { return join(ethernet, service, tag10, inPPPoE(h.pppType(), b)) }, vlan(100), vlan(10)},
		{"PPPoE compressed", frame.Ethernet, func(h ip, b []byte) []byte { return join(ethernet, inPPPoE(h.pppType()[1:], b)) }, 0, 0},
		{"SNAP", frame.Ethernet, func(h ip, b []byte) []byte { return join(ethernet, length802(snap, h.etherType(), b), zeros(4)) }, 0, 0},
		{"SNAP in a VLAN", frame.Ethernet, func(h ip, b []byte) []byte {
			return join(ethernet, tag10, length802(snapBridge, h.etherType(), b))
		}, vlan(10), 0},
		{"LLC", frame.Ethernet, func(_ ip, b []byte) []byte { return join(ethernet, length802(llcIP, b)) }, 0, 0},
		{"security group tag", frame.Ethernet, typed(ethernet, cmd), 0, 0},
		{"HSR", frame.Ethernet, typed(ethernet, hsr), 0, 0},
		{"MACsec in the clear", frame.Ethernet, func(h ip, b []byte) []byte { return join(ethernet, macsecOnly, h.etherType(), b, zeros(16)) }, 0, 0},
		{"MACsec with SCI", frame.Ethernet, func(h ip, b []byte) []byte { return join(ethernet, macsecSCI, h.etherType(), b, zeros(16)) }, 0, 0},
		{"NSH", frame.Ethernet, func(h ip, b []byte) []byte { return join(ethernet, h.nsh(), b) }, 0, 0},
		{"NSH around Ethernet", frame.Ethernet, inner(nshEther), 0, 0},
		{"FabricPath", frame.Ethernet, inner(fabricPath), 0, 0},
		{"provider backbone", frame.Ethernet, inner(service, backbone), vlan(100), 0},
		{"TRILL", frame.Ethernet, inner(trill), 0, 0},
		{"TRILL with options", frame.Ethernet, inner(trillOpt), 0, 0},
		{"Arista 64-bit stamp", frame.Ethernet, typed(ethernet, arista64), 0, 0},
		{"Arista 48-bit stamp", frame.Ethernet, typed(ethernet, arista48, tag10), vlan(10), 0},
		{"ISL", frame.Ethernet, typed(isl, ethernet), vlan(21), 0},
		{"SLL", frame.SLL, typed(sllFront), 0, 0},
		{"SLL tagged", frame.SLL, typed(sllFront, tag10), vlan(10), 0},
		{"SLL with LLC", frame.SLL, func(h ip, b []byte) []byte { return join(sllFront, octets("0004"), snap, h.etherType(), b) }, 0, 0},
		{"SLL2", frame.SLL2, func(h ip, b []byte) []byte { return join(h.etherType(), sll2Front, b) }, 0, 0},
		{"raw", frame.Raw, behind(), 0, 0},
		{"raw, DLT 12", frame.RawOpen, behind(), 0, 0},
		{"raw, DLT 14", frame.RawBSD, behind(), 0, 0},
		{"PPP", frame.PPP, func(h ip, b []byte) []byte { return join(h.pppType(), b) }, 0, 0},
		{"PPP with address", frame.PPP, func(h ip, b []byte) []byte { return join(hdlcFront, h.pppType(), b) }, 0, 0},
		{"PPP compressed", frame.PPPHDLC, func(h ip, b []byte) []byte { return join(hdlcFront, h.pppType()[1:], b) }, 0, 0},
		{"PPP with MPLS", frame.PPPHDLC, behind(hdlcFront, pppMPLS), 0, 0},
		{"Cisco HDLC", frame.PPPHDLC, typed(ciscoHDLC), 0, 0},
		{"PPPoE link type", frame.PPPoE, func(h ip, b []byte) []byte { return inPPPoE(h.pppType(), b)[2:] }, 0, 0},
		{"NULL little endian", frame.Null, func(h ip, b []byte) []byte { return join([]byte{h.family(), 0, 0, 0}, b) }, 0, 0},
		{"NULL big endian", frame.Null, func(h ip, b []byte) []byte { return join([]byte{0, 0, 0, h.family()}, b) }, 0, 0},
		{"NULL with EtherType", frame.Null, typed(zeros(2)), 0, 0},
		{"NULL with PPP", frame.Null, func(h ip, b []byte) []byte { return join(hdlcFront, h.pppType(), b) }, 0, 0},
		{"LOOP", frame.Loop, func(h ip, b []byte) []byte { return join([]byte{0, 0, 0, h.family()}, b) }, 0, 0},
	}
}

func TestLinkHeaders(t *testing.T) {
	for _, v := range versions {
		h := ip{version: v, proto: flow.ProtoTCP}
		for _, row := range linkRows() {
			t.Run(fmt.Sprintf("%s/IPv%d", row.name, v), func(t *testing.T) {
				want := tcpPacket(v)
				want.VLAN, want.VLANInner = row.vlan, row.inner
				f := on(row.link, row.build(h, h.wrap(tcpSYN)))
				got, r := decode(f)
				if r != packet.OK || got != want {
					t.Fatalf("%v\n got %+v\nwant %+v", r, got, want)
				}
				p := stale()
				packet.NewDecoder(packet.Config{VLANInKey: true}).Decode(&p, &f)
				want.Key.VLAN, want.Key.VLANInner = row.vlan, row.inner
				if p != want {
					t.Errorf("with VLANs in the key:\n got %+v\nwant %+v", p, want)
				}
			})
		}
	}
}

func TestLinkTypesOfOneVersion(t *testing.T) {
	v4, v6 := ip{version: 4, proto: 6}.wrap(tcpSYN), ip{version: 6, proto: 6}.wrap(tcpSYN)
	for name, c := range map[string]struct {
		frame frame.Frame
		want  packet.Reason
	}{
		"IPv4 link type":               {on(frame.IPv4, v4), packet.OK},
		"IPv6 link type":               {on(frame.IPv6, v6), packet.OK},
		"IPv6 as IPv4 link type":       {on(frame.IPv4, v6), packet.OK},
		"IPv4 as IPv6 link type":       {on(frame.IPv6, v4), packet.IPVersion},
		"IPv6 behind IPv4's EtherType": {on(frame.Ethernet, join(ethernet, etherIPv4, v6)), packet.OK},
		"IPv4 behind IPv6's EtherType": {on(frame.Ethernet, join(ethernet, etherIPv6, v4)), packet.IPVersion},
		"AF_INET of 16 bits":           {on(frame.Null, join(octets("00020000"), v4)), packet.OK},
		"AF_INET of 16 bits, swapped":  {on(frame.Null, join(octets("00000200"), v4)), packet.OK},
		"AF_INET6 of NetBSD":           {on(frame.Null, join([]byte{24, 0, 0, 0}, v6)), packet.OK},
		"AF_INET6 of FreeBSD":          {on(frame.Null, join([]byte{28, 0, 0, 0}, v6)), packet.OK},
		"AF_INET6 of Linux":            {on(frame.Loop, join([]byte{0, 0, 0, 10}, v6)), packet.OK},
	} {
		if _, r := decode(c.frame); r != c.want {
			t.Errorf("%s: %v, want %v", name, r, c.want)
		}
	}
}

func TestStrippedTag(t *testing.T) {
	h := ip{version: 4, proto: 6}
	for name, c := range map[string]struct {
		tags        []byte
		vlan, inner flow.VLAN
	}{
		"alone":     {nil, vlan(7), 0},
		"one more":  {tag10, vlan(7), vlan(10)},
		"two more":  {join(tag10, tag20), vlan(7), vlan(10)},
		"null VLAN": {tag0, vlan(7), vlan(0)},
	} {
		f := on(frame.Ethernet, join(ethernet, c.tags, etherIPv4, h.wrap(tcpSYN)))
		f.VLAN = vlan(7)
		want := tcpPacket(4)
		want.VLAN, want.VLANInner = c.vlan, c.inner
		if got, r := decode(f); r != packet.OK || got != want {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, r, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	eth := func(pieces ...[]byte) frame.Frame { return on(frame.Ethernet, join(ethernet, join(pieces...))) }
	v4, v6 := ip{version: 4, proto: 6}.wrap(tcpSYN), ip{version: 6, proto: 6}.wrap(tcpSYN)
	labels := octets("8847")
	for range 40 {
		labels = join(labels, octets("00010 0 40"))
	}
	tags := []byte(nil)
	for range 20 {
		tags = join(tags, tag10)
	}
	for _, c := range []struct {
		want  packet.Reason
		frame frame.Frame
	}{
		{packet.ARP, eth(octets("0806"), zeros(28))},
		{packet.ARP, eth(tag10, service, octets("0806"), zeros(28))},
		{packet.RARP, eth(octets("8035"), zeros(28))},
		{packet.LLDP, eth(octets("88cc"), zeros(46))},
		{packet.CDP, eth(length802(snapCisco, octets("2000"), zeros(20)))},
		{packet.CiscoControl, eth(length802(snapCisco, octets("2004"), zeros(20)))},
		{packet.STP, eth(length802(llcSTP, zeros(35)))},
		{packet.STP, eth(length802(snapCisco, octets("010b"), zeros(35)))},
		{packet.EAPOL, eth(octets("888e"), zeros(46))},
		{packet.SlowProtocols, eth(octets("8809"), zeros(46))},
		{packet.Loopback, eth(octets("9000"), zeros(46))},
		{packet.PPPoEDiscovery, eth(pppoeDisc, zeros(46))},
		{packet.PPPoEDiscovery, eth(octets("8864 11 a7 0001 0000"), zeros(40))},
		{packet.PPPControl, eth(inPPPoE(pppLCP))},
		{packet.OtherPPP, on(frame.PPP, join(hdlcFront, octets("003d"), zeros(40)))},
		{packet.OSI, eth(length802(llcOSI, zeros(20)))},
		{packet.NetBIOS, eth(length802(llcNetBIOS, zeros(20)))},
		{packet.IPX, eth(length802(llcIPX, zeros(20)))},
		{packet.IPX, eth(length802(rawIPX, zeros(20)))},
		{packet.IPX, eth(octets("8137"), zeros(46))},
		{packet.AppleTalk, eth(octets("80f3"), zeros(46))},
		{packet.CFM, eth(octets("8902"), zeros(46))},
		{packet.PTP, eth(octets("88f7"), zeros(46))},
		{packet.MACsec, eth(macsecFull, zeros(46))},
		{packet.OtherMPLS, eth(labels2, control, ethernet, etherIPv4, v4)},
		{packet.OtherMPLS, eth(labels2, channel, v4)},
		{packet.OtherMPLS, eth(labels2, ethernet, etherIPv4, v4)},
		{packet.OtherLLC, eth(length802(llcTest, v4))},
		{packet.OtherLLC, eth(length802(octets("aa aa 03 00e02b 00bb"), zeros(20)))},
		{packet.OtherEtherType, eth(octets("88b8"), zeros(46))},
		{packet.OtherEtherType, on(frame.SLL, join(sllFront, octets("0001"), zeros(46)))},
		{packet.OtherEtherType, eth(octets("894f 0fc2 0204 000001ff"), zeros(40))},
		{packet.OtherFamily, on(frame.Null, join(octets("07000000"), v4))},
		{packet.OtherFamily, on(frame.SLL, join(sllNet, octets("0800"), v4))},
		{packet.LinkType, on(147, v4)},
		{packet.LinkTruncated, on(frame.Ethernet, ethernet)},
		{packet.LinkTruncated, on(frame.Ethernet, nil)},
		{packet.LinkTruncated, eth(tag10, octets("08"))},
		{packet.LinkTruncated, eth(labels2)},
		{packet.LinkTruncated, on(frame.SLL2, zeros(19))},
		{packet.LinkHeader, eth(octets("05dd"), zeros(46))},
		{packet.LinkHeader, eth(octets("894f 0fc0 0201"), zeros(40))},
		{packet.LinkDepth, eth(tags, etherIPv4, v4)},
		{packet.LinkDepth, eth(labels, v4)},
		{packet.IPVersion, eth(etherIPv4, octets("50"), zeros(40))},
		{packet.IPVersion, on(frame.Raw, zeros(40))},
		{packet.IPv4Truncated, eth(etherIPv4)},
		{packet.IPv4Truncated, eth(etherIPv4, v4[:19])},
		{packet.IPv4Truncated, eth(length802(llcIP, v4[:19]), v4[19:])},
		{packet.IPv4Header, eth(etherIPv4, octets("44"), v4[1:])},
		{packet.IPv4Header, eth(etherIPv4, octets("4500 0013"), v4[4:])},
		{packet.IPv6Truncated, eth(etherIPv6)},
		{packet.IPv6Truncated, eth(etherIPv6, v6[:39])},
	} {
		d := packet.NewDecoder(packet.Config{})
		p := stale()
		if r := d.Decode(&p, &c.frame); r != c.want {
			t.Errorf("%x: %v, want %v", c.frame.Data, r, c.want)
			continue
		}
		s := d.Stats()
		if got, want := s.Refused[c.want], (packet.Count{Frames: 1, Octets: uint64(c.frame.Len)}); got != want || s.RefusedTotal() != want {
			t.Errorf("%v counted %+v, want %+v", c.want, got, want)
		}
	}
}

func TestTransport(t *testing.T) {
	for _, c := range []struct {
		name     string
		proto    uint8
		header   []byte
		src, dst uint16
		flags    uint16
	}{
		{"TCP", 6, tcpSYN, 40000, 443, flow.SYN},
		{"TCP with twelve flags", 6, tcpAll, 40000, 443, 0xfff},
		{"TCP with a bad data offset", 6, tcpNoise, 40000, 443, 0},
		{"UDP", 17, udp, 40000, 443, 0},
		{"UDP-Lite", 136, udpLite, 40000, 443, 0},
		{"SCTP", 132, sctp, 40000, 443, 0},
		{"DCCP", 33, dccp, 40000, 443, 0},
		{"ICMP", 1, icmpEcho, 0, 0x0800, 0},
		{"ICMP unreachable", 1, icmpUnreac, 0, 0x0304, 0},
		{"ICMPv6", 58, icmpv6Echo, 0, 0x8000, 0},
		{"IGMP", 2, igmp, 0, 0, 0},
		{"GRE", 47, gre, 0, 0, 0},
		{"ESP", 50, esp, 0, 0, 0},
		{"OSPF", 89, ospf, 0, 0, 0},
		{"IP in IP", 4, ip{version: 4, proto: 6}.wrap(tcpSYN), 0, 0, 0},
		{"IPv6 in IP", 41, ip{version: 6, proto: 6}.wrap(tcpSYN), 0, 0, 0},
		{"no next header", 59, nil, 0, 0, 0},
		{"experimental", 253, zeros(8), 0, 0, 0},
		{"reserved", 255, zeros(8), 0, 0, 0},
	} {
		for _, v := range versions {
			h := ip{version: v, proto: int(c.proto), tos: 0xb9}
			packetBytes := h.wrap(c.header)
			want := plainPacket(v)
			want.Proto, want.ToS, want.SrcPort, want.DstPort, want.TCPFlags = c.proto, 0xb9, c.src, c.dst, c.flags
			want.Bytes = uint64(len(packetBytes))
			f := on(frame.Ethernet, join(ethernet, h.etherType(), packetBytes, zeros(12)))
			if got, r := decode(f); r != packet.OK || got != want {
				t.Errorf("%s in IPv%d: %v\n got %+v\nwant %+v", c.name, v, r, got, want)
			}
		}
	}
}

// TestAHIsAProtocolOfIPv4 holds the difference between the versions: behind IPv6 it is an extension header.
func TestAHIsAProtocolOfIPv4(t *testing.T) {
	ah := join(octets("06 04 0000 00000100 00000001"), zeros(12))
	want := plainPacket(4)
	want.Proto, want.Bytes = flow.ProtoAH, uint64(20+len(ah)+len(tcpSYN))
	if got, r := decode(on(frame.Ethernet, ip{version: 4, proto: 51}.inEthernet(ah, tcpSYN))); r != packet.OK || got != want {
		t.Errorf("IPv4: %v\n got %+v\nwant %+v", r, got, want)
	}
	want = tcpPacket(6)
	want.Bytes += uint64(len(ah))
	if got, r := decode(on(frame.Ethernet, ip{version: 6, proto: 51, chain: ah}.inEthernet(tcpSYN))); r != packet.OK || got != want {
		t.Errorf("IPv6: %v\n got %+v\nwant %+v", r, got, want)
	}
}

func TestIPv4Options(t *testing.T) {
	for _, size := range []int{4, 8, 40} {
		h := ip{version: 4, proto: 6, options: zeros(size)}
		want := tcpPacket(4)
		want.Bytes += uint64(size)
		if got, r := decode(on(frame.Ethernet, h.inEthernet(tcpSYN))); r != packet.OK || got != want {
			t.Errorf("%d octets of options: %v\n got %+v\nwant %+v", size, r, got, want)
		}
	}
}
