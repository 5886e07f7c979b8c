package export_test

import (
	"fmt"
	"strings"
	"testing"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

// dnsAnswer is one with a question of its own.
func dnsAnswer(i int) flow.DNSAnswer {
	return flow.DNSAnswer{
		Client: flow.Addr{Lo: uint64(10<<24 + i)}, Server: flow.Addr{Lo: 53}, Version: 4, Time: 1_700_000_000_000_000_000 + int64(i)*1000, QType: 1,
		Question: fmt.Sprintf("host-%d.example", i), Addresses: []flow.DNSAddress{{Addr: flow.Addr{Lo: uint64(i)}, Version: 4, TTL: 60}},
	}
}

// feedBoth adds records, and two answers after each.
func feedBoth(b *export.Batcher, n int) (sum export.Amount) {
	for i := range n {
		sum = sum.Plus(feed(b, i, 1)).Plus(export.Amount{Answers: 2})
		for j := range 2 {
			a := dnsAnswer(2*i + j)
			b.AddAnswer(&a)
		}
	}
	return sum
}

// Answers are delivered beside the records, and every one is on the ledger.
func TestAnswersArrive(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	s := run(t, acknowledged(f.addr.String(), key))
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	added := feedBoth(b, 1000)
	b.Close()
	stats := delivered(t, s, f, added)
	if stats.Sent != added || added.Answers != 2000 {
		t.Errorf("sent %+v, added %+v", stats.Sent, added)
	}
}

// What a killed sensor had in its spool comes back, answers too.
func TestAnswersComeBackFromTheSpool(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	f := newFar(t, key)
	f.stop()
	s, kill := begin(t, spooling(f.addr.String(), key, dir))
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	added := feedBoth(b, 100)
	b.Close()
	eventually(t, "all on disk", func() bool {
		st := s.Stats()
		return st.Added == added && st.SpoolBatches > 0 && st.Waiting == 0 && st.SpoolBatches >= st.InFlight+st.Backlog && settledOnDisk(st)
	})
	kill()
	f.start()
	again := run(t, spooling(f.addr.String(), key, dir))
	if got := again.Stats().Recovered; got != added {
		t.Errorf("recovered %+v, added %+v", got, added)
	}
	delivered(t, again, f, added)
}

// Without acknowledgement they go out once, and what no datagram holds is counted.
func TestAnswersSentOnce(t *testing.T) {
	key := newKey(t)
	in := newSink(t, "127.0.0.1:0")
	cfg := config(in.addr.String(), key)
	cfg.MaxDatagram = 700
	log := &syncBuffer{}
	s := runLogged(t, cfg, log)
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	added := feedBoth(b, 300)
	long, wrong := dnsAnswer(9999), dnsAnswer(9998)
	long.Question = strings.Repeat("a", 250)
	for i := range flow.MaxDNSChain {
		long.Chain = append(long.Chain, strings.Repeat(string(rune('b'+i)), 32))
	}
	wrong.Question = "not\nvalid"
	b.AddAnswer(&long)
	b.AddAnswer(&wrong)
	b.Close()
	added.Answers += 2
	stats := s.drain(t)
	checkLedger(t, stats, added)
	if stats.Dropped[export.MessageSize].Answers != 1 || stats.Dropped[export.InvalidRecord].Answers != 1 || stats.Sent.Answers != 600 {
		t.Errorf("sent %+v, dropped %+v", stats.Sent, stats.Dropped)
	}
	for _, reason := range []export.Reason{export.MessageSize, export.InvalidRecord} {
		if want := "reason=" + reason.String() + " records=0 packets=0 bytes=0 dns_answers=1"; !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, log.String())
		}
	}
	answers, records := 0, 0
	for i, a := range open(t, in.wait(t, stats.Datagrams), key) {
		if a.header.TX != uint64(i+1) || a.batch.Seq != uint64(i+1) || (a.header.Kind == wire.DNS) != (len(a.batch.Answers) > 0) {
			t.Errorf("datagram %d: %s, tx %d, seq %d, %d answers", i, a.header.Kind, a.header.TX, a.batch.Seq, len(a.batch.Answers))
		}
		answers += len(a.batch.Answers)
		records += len(a.batch.Records)
	}
	if answers != 600 || records != 300 {
		t.Errorf("%d answers and %d records came", answers, records)
	}
}
