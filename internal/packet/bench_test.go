package packet_test

import (
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// benchFrames are the kinds of traffic whose cost is of interest, the plain one first.
func benchFrames() []struct {
	name string
	data []byte
} {
	v4, v6 := ip{version: 4, proto: 6}, ip{version: 6, proto: 6}
	u4 := ip{version: 4, proto: 17}
	first, later := ip{version: 4, proto: 17, id: 7, flags: 0x2000}, ip{version: 4, proto: 17, id: 7, flags: 0x00b9}
	return []struct {
		name string
		data []byte
	}{
		{"ipv4_tcp", v4.inEthernet(tcpSYN)},
		{"ipv4_udp", u4.inEthernet(udp)},
		{"ipv4_icmp", ip{version: 4, proto: 1}.inEthernet(icmpEcho)},
		{"ipv4_gre", ip{version: 4, proto: 47}.inEthernet(gre)},
		{"ipv4_options", ip{version: 4, proto: 6, options: zeros(8)}.inEthernet(tcpSYN)},
		{"ipv6_tcp", v6.inEthernet(tcpSYN)},
		{"ipv6_extensions", ip{version: 6, proto: 0, chain: join(extension(60, zeros(6)), extension(6, zeros(6)))}.inEthernet(tcpSYN)},
		{"vlan", join(ethernet, tag10, etherIPv4, v4.wrap(tcpSYN))},
		{"qinq", join(ethernet, service, tag10, etherIPv4, v4.wrap(tcpSYN))},
		{"mpls", join(ethernet, labels2, v4.wrap(tcpSYN))},
		{"pppoe", join(ethernet, inPPPoE(pppIPv4, v4.wrap(tcpSYN)))},
		{"fragment_first", first.inEthernet(udp)},
		{"fragment_later", later.inEthernet(zeros(64))},
		{"arp", join(ethernet, octets("0806"), zeros(46))},
		{"stp", join(ethernet, length802(llcSTP, zeros(35)))},
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchFrames() {
		b.Run(c.name, func(b *testing.B) {
			d := packet.NewDecoder(packet.Config{})
			f := on(frame.Ethernet, c.data)
			var p flow.Packet
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(&p, &f)
			}
		})
	}
}
