package export_test

import (
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/testnet"
)

// TestAcknowledgedDelivery: with nothing in the way no batch is sent twice.
func TestAcknowledgedDelivery(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	s := run(t, spooling(f.addr.String(), key, t.TempDir()))
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	added := feed(b, 0, 20_000)
	b.Close()
	stats := delivered(t, s, f, added)
	if stats.Sent != added || stats.Resends > uint64(f.again) || stats.Answers == 0 || stats.AnswersUnfit != [export.AnswerReasons]uint64{} {
		t.Errorf("%+v", stats)
	}
	t.Logf("%d datagrams, %d resends, %d answers, pace %d", stats.Datagrams, stats.Resends, stats.Answers, stats.Rate)
}

// TestFaultyPath: loss, duplication and reordering in both directions, under load.
func TestFaultyPath(t *testing.T) {
	for name, faults := range map[string]struct{ forward, back testnet.Faults }{
		"loss":         {testnet.Faults{Loss: 0.2}, testnet.Faults{Loss: 0.2}},
		"everything":   {testnet.Faults{Loss: 0.1, Duplicate: 0.2, Reorder: 0.3, Jitter: 20 * time.Millisecond}, testnet.Faults{Loss: 0.2, Duplicate: 0.3, Reorder: 0.3}},
		"answers lost": {testnet.Faults{}, testnet.Faults{Loss: 0.8}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := newKey(t)
			f := newFar(t, key)
			proxy := newProxy(t, testnet.ProxyConfig{Listen: "127.0.0.1:0", Target: f.addr.String(), Seed: 7, Forward: faults.forward, Back: faults.back})
			s := run(t, spooling(proxy.Addr().String(), key, t.TempDir()))
			b := s.Batcher("eth0")
			b.WaitForRoom(t.Context())
			added := feed(b, 0, 20_000)
			b.Close()
			stats := delivered(t, s, f, added)
			if stats.Resends == 0 || stats.DroppedTotal() != (export.Amount{}) {
				t.Errorf("%+v", stats)
			}
			t.Logf("%d datagrams for %d batches, %d stored again; forward %+v", stats.Datagrams, len(f.batches), f.again, proxy.Forward())
		})
	}
}

func newProxy(t *testing.T, cfg testnet.ProxyConfig) *testnet.Proxy {
	t.Helper()
	p, err := testnet.NewProxy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// TestCollectorRestarts: it is away again and again under load, and forgets all but what it stored.
func TestCollectorRestarts(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	s := run(t, spooling(f.addr.String(), key, t.TempDir()))
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	var added export.Amount
	for i := range 6 {
		added = added.Plus(feed(b, i*4000, 4000))
		time.Sleep(100 * time.Millisecond)
		f.stop()
		added = added.Plus(feed(b, 1_000_000+i*2000, 2000))
		time.Sleep(time.Duration(100+200*i) * time.Millisecond)
		f.start()
	}
	b.Close()
	delivered(t, s, f, added)
}

// TestLostAfterAcceptance: what the next stage loses is not acknowledged, and comes again.
func TestLostAfterAcceptance(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	n := 0
	f.set(func() {
		f.result = func(*flow.Batch) ingest.Result {
			if n++; n%3 == 0 {
				return ingest.Lost
			}
			return ingest.Durable
		}
	})
	s := run(t, acknowledged(f.addr.String(), key))
	b := s.Batcher("eth0")
	added := feed(b, 0, 5000)
	b.Close()
	delivered(t, s, f, added)
}

// TestFullCollector: "full" holds the sensor back, and loses nothing.
func TestFullCollector(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	full := true
	f.set(func() {
		f.verdict = func(*flow.Batch) ingest.Verdict {
			if full {
				return ingest.Full
			}
			return ingest.Accepted
		}
	})
	s := run(t, spooling(f.addr.String(), key, t.TempDir()))
	b := s.Batcher("eth0")
	added := feed(b, 0, 5000)
	b.Close()
	eventually(t, "refusal", func() bool { return s.Stats().Full > 0 && s.Stats().Held })
	time.Sleep(500 * time.Millisecond)
	if sent := s.Stats().Datagrams; sent > 5000 {
		t.Errorf("%d datagrams to a collector without room", sent)
	}
	f.set(func() { full = false })
	delivered(t, s, f, added)
}

// TestKeyRotation: new key to the collector first, then to the sensor, then the old one goes; no datagram is refused.
func TestKeyRotation(t *testing.T) {
	older, newer := newKey(t), newKey(t)
	f := newFar(t, older)
	s := run(t, acknowledged(f.addr.String(), older))
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	var added export.Amount
	turn := func(first int, change func()) {
		added = added.Plus(feed(b, first, 3000))
		change()
		added = added.Plus(feed(b, first+3000, 3000))
	}
	turn(0, func() { f.keys = []seal.Key{newer, older}; f.server.SetOpener(f.opener()) })
	turn(10_000, func() {
		if err := s.SetKey(newer); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(300 * time.Millisecond) // what was sealed with the old key has arrived
	turn(20_000, func() { f.keys = []seal.Key{newer}; f.server.SetOpener(f.opener()) })
	b.Close()
	st := f.server
	stats := delivered(t, s, f, added)
	in := st.Stats()
	if in.Outcomes[ingest.ReasonHMAC] != 0 || stats.AnswersUnfit != [export.AnswerReasons]uint64{} {
		t.Errorf("refused %d datagrams, %v answers", in.Outcomes[ingest.ReasonHMAC], stats.AnswersUnfit)
	}
}
