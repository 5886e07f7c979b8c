package sensor

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// udp4From53 is an Ethernet frame with a DNS response in it, to a client of that number.
func udp4From53(t *testing.T, client byte, rcode dnsmessage.RCode) frame.Frame {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{Response: true, RCode: rcode},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("www.example.org."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	if rcode == 0 {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body:   &dnsmessage.AResource{A: [4]byte{198, 51, 100, 1}},
		}}
	}
	message, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	length := 8 + len(message)
	b := append(make([]byte, 12), 8, 0, 0x45, 0, 0, byte(20+length), 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 53, 192, 0, 2, client)
	b = append(append(b, 0, 53, 0xc0, 0, 0, byte(length), 0, 0), message...)
	return frame.Frame{Data: b, Len: uint32(len(b)), Link: frame.Ethernet, Time: 1_700_000_000_000_000_000}
}

// What a worker tells of failures is bounded by the second, and everything else is not.
func TestFailuresAreLimited(t *testing.T) {
	var got []flow.DNSAnswer
	r, err := NewReader(Defaults().Flows, nil, func(*flow.Record, string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	r.ReadNames(DNSConfig{Enabled: true, MaxFailures: 3}, func(a *flow.DNSAnswer) { got = append(got, *a) })
	gone, found := udp4From53(t, 1, dnsmessage.RCodeNameError), udp4From53(t, 2, 0)
	for range 10 {
		r.meter.visit(&gone)
		r.meter.visit(&found)
	}
	gone.Time += 1_000_000_000
	r.meter.visit(&gone)
	r.meter.flush()
	failures := 0
	for _, a := range got {
		if a.Failed() {
			failures++
		}
		if a.Time < found.Time || a.Server != (flow.Addr{Lo: 0xc0000235}) || a.Validate() != nil {
			t.Errorf("%+v", a)
		}
	}
	l := r.Ledger()
	if failures != 4 || len(got) != 14 || l.DNS["ok"] != 21 || l.DNS["failure_limited"] != 7 || len(l.DNS) != 2 {
		t.Errorf("%d failures of %d, ledger %v", failures, len(got), l.DNS)
	}
}

// Without DNS nothing of it is read, and with it only what comes from its port.
func TestOnlyThePortOfDNS(t *testing.T) {
	r, err := NewReader(Defaults().Flows, nil, func(*flow.Record, string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	f := udp4From53(t, 1, 0)
	r.meter.visit(&f)
	r.ReadNames(DNSConfig{}, func(*flow.DNSAnswer) { t.Error("an answer") })
	f.Data[34], f.Data[35] = 20, 233 // port 5353
	r.meter.visit(&f)
	if l := r.Ledger(); len(l.DNS) != 0 {
		t.Errorf("ledger %v", l.DNS)
	}
}
