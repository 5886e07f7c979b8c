package trace

// Payloads: a full segment with timestamps, a full QUIC packet, a voice frame of 20 ms, a ping.
const (
	segment   = 1448 // over IPv4; over IPv6 what is left for it
	quicSize  = 1242
	voiceSize = 172
	pingSize  = 56
)

// packet gives a conversation's packet by its number.
func (c *conversation) packet(n int) packet {
	from, to := c.client, c.server
	if n%2 == 1 {
		from, to = to, from
	}
	switch c.kind {
	case lookup:
		return datagram(from, to, [...]int{34, 120}[n%2]+int(c.client.port)%24)
	case scan:
		return stream(from, to, syn, 0)
	case ping:
		return echo(from, to, n)
	case quic:
		if n%4 == 0 {
			return datagram(c.client, c.server, 40+n%48)
		}
		return datagram(c.server, c.client, quicSize)
	case voice:
		return datagram(from, to, voiceSize)
	case web:
	}
	return c.webPacket(n)
}

// webPacket is a connection: handshake and request, then two segments, most of them full, to an acknowledgement, and the
// end.
func (c *conversation) webPacket(n int) packet {
	up := func(flags uint8, payload int) packet { return stream(c.client, c.server, flags, payload) }
	down := func(flags uint8, payload int) packet { return stream(c.server, c.client, flags, payload) }
	switch n {
	case 0:
		return up(syn, 0)
	case 1:
		return down(syn|ack, 0)
	case 2:
		return up(ack, 0)
	case 3:
		return up(psh|ack, 200+int(c.client.port)%400)
	case c.packets - 3:
		return up(fin|ack, 0)
	case c.packets - 2:
		return down(fin|ack, 0)
	case c.packets - 1:
		return up(ack, 0)
	}
	switch {
	case n%3 == 2:
		return up(ack, 0)
	case n%10 == 4:
		return down(psh|ack, 100+int(c.server.port)%300)
	default:
		return down(ack, segment)
	}
}

func stream(from, to end, flags uint8, payload int) packet {
	p := datagram(from, to, payload)
	p.proto, p.flags = tcp, flags
	if from.addr.Is6() {
		p.payload = min(payload, segment-ipv6Len+ipv4Len)
	}
	return p
}

func datagram(from, to end, payload int) packet {
	return packet{src: from.addr, dst: to.addr, srcPort: from.port, dstPort: to.port, proto: udp, payload: payload}
}

// echo is a request where n is even and a reply where it is odd.
func echo(from, to end, n int) packet {
	p := datagram(from, to, pingSize)
	p.proto, p.srcPort, p.dstPort = icmp, uint16(n/2), [...]uint16{8, 0}[n%2]<<8
	if from.addr.Is6() {
		p.proto, p.dstPort = icmpv6, [...]uint16{128, 129}[n%2]<<8
	}
	return p
}
