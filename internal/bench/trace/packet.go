package trace

import (
	"encoding/binary"
	"net/netip"
)

// packet is one packet to be written.
type packet struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16 // ICMP: the sequence number, and type and code
	proto            uint8
	flags            uint8 // TCP
	payload          int
}

// Protocols and header lengths.
const (
	icmp   = 1
	tcp    = 6
	udp    = 17
	icmpv6 = 58

	etherLen = 14
	ipv4Len  = 20
	ipv6Len  = 40
	tcpLen   = 32 // with timestamps, as nearly every TCP has them
	udpLen   = 8  // ICMP echo too
)

// TCP flags.
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
)

// Addresses outside the capture host's own, so that its stack lets the packets go at once.
const (
	macClient = "\x02\x00\x5e\x00\x00\x01"
	macServer = "\x02\x00\x5e\x00\x00\x02"
)

// appendHeaders appends Ethernet, IP and transport headers.
func (p *packet) appendHeaders(b []byte) []byte {
	b = append(b, macServer+macClient...)
	transport := udpLen
	if p.proto == tcp {
		transport = tcpLen
	}
	if p.src.Is4() {
		b = p.appendIPv4(b, transport)
	} else {
		b = p.appendIPv6(b, transport)
	}
	at := len(b)
	b = append(b, zeros[:transport]...)
	t := b[at:]
	if p.proto == icmp || p.proto == icmpv6 {
		binary.BigEndian.PutUint16(t[0:], p.dstPort)
		binary.BigEndian.PutUint16(t[6:], p.srcPort)
		return b
	}
	binary.BigEndian.PutUint16(t[0:], p.srcPort)
	binary.BigEndian.PutUint16(t[2:], p.dstPort)
	if p.proto == udp {
		binary.BigEndian.PutUint16(t[4:], uint16(udpLen+p.payload))
		return b
	}
	t[12], t[13] = tcpLen/4<<4, p.flags
	binary.BigEndian.PutUint16(t[14:], 0xffff) // window
	copy(t[20:], "\x01\x01\x08\x0a")           // two no-operations, then the timestamps option
	return b
}

func (p *packet) appendIPv4(b []byte, transport int) []byte {
	b = append(b, 0x08, 0x00)
	at := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4Len+transport+p.payload))
	b = append(b, 0, 0, 0x40, 0, 64, p.proto, 0, 0) // don't fragment
	b = append(append(b, p.src.AsSlice()...), p.dst.AsSlice()...)
	var sum uint32
	for i := at; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(b[at+10:], ^uint16(sum))
	return b
}

func (p *packet) appendIPv6(b []byte, transport int) []byte {
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(transport+p.payload))
	b = append(b, p.proto, 64)
	return append(append(b, p.src.AsSlice()...), p.dst.AsSlice()...)
}
