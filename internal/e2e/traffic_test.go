package e2e_test

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"flowsensor/internal/testnet"
)

// want is one expected row: the key, and what must be counted.
type want struct {
	src, dst               string
	srcPort, dstPort       int64
	proto                  string
	tos, packets, bytes    int64
	flags, vlan, vlanInner int64 // VLANs: -1 is absent
	handshake              int64
	endReason              string
}

// key tells rows apart.
func (w *want) key() string {
	return fmt.Sprintf("%s:%d > %s:%d proto %s tos %d", w.src, w.srcPort, w.dst, w.dstPort, w.proto, w.tos)
}

// script sends frames and keeps the books of what the sensor must say of them.
type script struct {
	t        *testing.T
	from, to *testnet.Host
	wire     *testnet.Frames
	rows     map[string]*want
	packets  int64 // of IP
	bytes    int64
	refused  map[string]int64
}

func newScript(t *testing.T, from, to *testnet.Host) *script {
	t.Helper()
	wire, err := from.Frames()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wire.Close() })
	return &script{t: t, from: from, to: to, wire: wire, rows: make(map[string]*want), refused: make(map[string]int64)}
}

func (s *script) ethernet(kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: s.from.MAC, DstMAC: s.to.MAC, EthernetType: kind}
}

func serialize(t *testing.T, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// send puts one IP packet of a flow on the wire, below the tags given, and counts it. ip is what serialize made.
func (s *script) send(w want, tags []uint16, ip []byte) {
	s.t.Helper()
	s.put(tags, w.version(), ip)
	row := s.rows[w.key()]
	if row == nil {
		row = &w
		row.vlan, row.vlanInner = -1, -1
		if len(tags) > 0 {
			row.vlan = int64(tags[0] & 0xfff)
		}
		if len(tags) > 1 {
			row.vlanInner = int64(tags[1] & 0xfff)
		}
		s.rows[w.key()] = row
	} else {
		row.flags |= w.flags
		row.handshake |= w.handshake
	}
	row.packets++
	row.bytes += int64(len(ip))
	s.packets++
	s.bytes += int64(len(ip))
}

func (w *want) version() layers.EthernetType {
	if net.ParseIP(w.src).To4() == nil {
		return layers.EthernetTypeIPv6
	}
	return layers.EthernetTypeIPv4
}

// put sends a frame: Ethernet, tags, body, padded to what a wire carries.
func (s *script) put(tags []uint16, kind layers.EthernetType, body []byte) {
	s.t.Helper()
	var stack []gopacket.SerializableLayer
	next := kind
	for _, tag := range slices.Backward(tags) {
		stack = append([]gopacket.SerializableLayer{&layers.Dot1Q{Priority: uint8(tag >> 13), VLANIdentifier: tag & 0xfff, Type: next}}, stack...)
		next = layers.EthernetTypeDot1Q
	}
	stack = append([]gopacket.SerializableLayer{s.ethernet(next)}, stack...)
	frame := serialize(s.t, append(stack, gopacket.Payload(body))...)
	for len(frame) < 60 {
		frame = append(frame, 0)
	}
	if err := s.wire.Send(frame); err != nil {
		s.t.Fatal(err)
	}
}

// ip4 and ip6 give the network layer for a flow.
func (w *want) network(proto layers.IPProtocol) gopacket.SerializableLayer {
	if w.version() == layers.EthernetTypeIPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, TOS: uint8(w.tos), Protocol: proto, SrcIP: net.ParseIP(w.src).To4(), DstIP: net.ParseIP(w.dst).To4()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: uint8(w.tos), NextHeader: proto, SrcIP: net.ParseIP(w.src), DstIP: net.ParseIP(w.dst)}
}

type checksummed interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}

func (s *script) transport(w want, tags []uint16, proto layers.IPProtocol, layer checksummed, payload int) {
	s.t.Helper()
	network := w.network(proto)
	if err := layer.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer)); err != nil {
		s.t.Fatal(err)
	}
	s.send(w, tags, serialize(s.t, network, layer, gopacket.Payload(make([]byte, payload))))
}

// datagram gives a UDP datagram of the flow as an IP packet.
func (w *want) datagram(t *testing.T, payload int) []byte {
	t.Helper()
	network := w.network(layers.IPProtocolUDP)
	udp := &layers.UDP{SrcPort: layers.UDPPort(w.srcPort), DstPort: layers.UDPPort(w.dstPort)}
	if err := udp.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer)); err != nil {
		t.Fatal(err)
	}
	return serialize(t, network, udp, gopacket.Payload(make([]byte, payload)))
}

// udp sends datagrams of one flow.
func (s *script) udp(w want, tags []uint16, count, payload int) {
	s.t.Helper()
	w.proto, w.endReason = "17", "idle"
	for range count {
		s.transport(w, tags, layers.IPProtocolUDP, &layers.UDP{SrcPort: layers.UDPPort(w.srcPort), DstPort: layers.UDPPort(w.dstPort)}, payload)
	}
}

// tcp sends one segment.
func (s *script) tcp(w want, tags []uint16, flags int64, payload int) {
	s.t.Helper()
	w.proto, w.flags = "6", flags
	switch flags & 0x12 {
	case 0x02:
		w.handshake = 1
	case 0x12:
		w.handshake = 2
	}
	s.transport(w, tags, layers.IPProtocolTCP, &layers.TCP{
		SrcPort: layers.TCPPort(w.srcPort), DstPort: layers.TCPPort(w.dstPort), Window: 1000,
		FIN: flags&1 != 0, SYN: flags&2 != 0, RST: flags&4 != 0, PSH: flags&8 != 0, ACK: flags&16 != 0, ECE: flags&64 != 0, CWR: flags&128 != 0,
	}, payload)
}

// fragments4 sends an IPv4 UDP datagram in three fragments.
func (s *script) fragments4(w want, id uint16) {
	s.t.Helper()
	w.proto, w.endReason = "17", "idle"
	udp := &layers.UDP{SrcPort: layers.UDPPort(w.srcPort), DstPort: layers.UDPPort(w.dstPort)}
	network := w.network(layers.IPProtocolUDP).(*layers.IPv4)
	if err := udp.SetNetworkLayerForChecksum(network); err != nil {
		s.t.Fatal(err)
	}
	datagram := serialize(s.t, udp, gopacket.Payload(make([]byte, 3000)))
	const part = 1200
	for at := 0; at < len(datagram); at += part {
		end := min(at+part, len(datagram))
		network.Id, network.FragOffset, network.Flags = id, uint16(at/8), layers.IPv4MoreFragments
		if end == len(datagram) {
			network.Flags = 0
		}
		s.send(w, nil, serialize(s.t, network, gopacket.Payload(datagram[at:end])))
	}
}

// fragments6 does the same over IPv6.
func (s *script) fragments6(w want, id uint32) {
	s.t.Helper()
	w.proto, w.endReason = "17", "idle"
	network := w.network(layers.IPProtocolIPv6Fragment)
	udp := &layers.UDP{SrcPort: layers.UDPPort(w.srcPort), DstPort: layers.UDPPort(w.dstPort)}
	if err := udp.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer)); err != nil {
		s.t.Fatal(err)
	}
	datagram := serialize(s.t, udp, gopacket.Payload(make([]byte, 3000)))
	const part = 1200
	for at := 0; at < len(datagram); at += part {
		end := min(at+part, len(datagram))
		header := []byte{17, 0, 0, 0, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
		offset := uint16(at)
		if end < len(datagram) {
			offset |= 1
		}
		header[2], header[3] = byte(offset>>8), byte(offset)
		s.send(w, nil, serialize(s.t, network, gopacket.Payload(append(header, datagram[at:end]...))))
	}
}

// icmp sends echo requests; the destination port is type*256 + code.
func (s *script) icmp(w want, count int) {
	s.t.Helper()
	w.proto, w.dstPort, w.endReason = "1", 8*256, "idle"
	for i := range count {
		echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: uint16(i)}
		s.send(w, nil, serialize(s.t, w.network(layers.IPProtocolICMPv4), echo, gopacket.Payload(make([]byte, 56))))
	}
}

// noise sends frames that are no IP.
func (s *script) noise(reason string, kind layers.EthernetType, count int) {
	s.t.Helper()
	for range count {
		s.put(nil, kind, make([]byte, 46))
		s.refused[reason]++
	}
}
