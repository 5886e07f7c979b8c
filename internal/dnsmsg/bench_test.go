package dnsmsg_test

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
)

func BenchmarkSegment(b *testing.B) {
	m := answering(www, dnsmessage.TypeA).answer(alias(www, edge, 9), address(edge, "198.51.100.1", 60), address(edge, "198.51.100.2", 60))
	s, p, d := whole(udp(0, m.pack(b))), fromServer(flow.ProtoUDP), dnsmsg.NewDecoder()
	emit := func(*flow.DNSAnswer) {}
	b.SetBytes(int64(len(s.Data)))
	b.ReportAllocs()
	for b.Loop() {
		d.Segment(p, s, emit)
	}
}

// What the worst message costs that fits a large datagram.
func BenchmarkHostile(b *testing.B) {
	m := answering(www, dnsmessage.TypeA)
	for i := range 15 {
		from, to := dnsmessage.MustNewName(string(rune('p'-i))+".example."), dnsmessage.MustNewName(string(rune('o'-i))+".example.")
		m.answer(alias(from.String(), to.String(), 1))
	}
	m.answer(alias(www, "p.example.", 1))
	for range 240 {
		m.answer(resource("a.example.", 1, &dnsmessage.TXTResource{TXT: []string{"x"}}))
	}
	s, p, d := whole(udp(0, m.pack(b))), fromServer(flow.ProtoUDP), dnsmsg.NewDecoder()
	emit := func(*flow.DNSAnswer) {}
	for b.Loop() {
		d.Segment(p, s, emit)
	}
}
