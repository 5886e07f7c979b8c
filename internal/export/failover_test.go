package export_test

import (
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
)

// TestSlowCollectorIsNotLeft: one that answers probes is there, however long it takes to make things durable.
func TestSlowCollectorIsNotLeft(t *testing.T) {
	key := newKey(t)
	f, other := newFar(t, key), newFar(t, key)
	held := make(chan *flow.Batch, 1000)
	f.set(func() { f.hold = func(b *flow.Batch) { held <- b } })
	cfg := acknowledged(f.addr.String(), key)
	cfg.Standby, cfg.FailoverAfter = []string{other.addr.String()}, 600*time.Millisecond
	s := run(t, cfg)
	b := s.Batcher("eth0")
	added := feed(b, 0, 10)
	b.Close()
	time.Sleep(2 * time.Second)
	if st := s.Stats(); st.Failovers != 0 || st.Probes == 0 || s.RemoteAddr() != f.addr {
		t.Errorf("%d failovers, %d probes", st.Failovers, st.Probes)
	}
	f.set(func() { f.hold = nil })
	first := <-held
	f.set(func() { f.store(first) })
	f.server.Settle(first, ingest.Durable)
	delivered(t, s, f, added)
}

// TestFailover: two collectors of one journal, the first of which goes away.
func TestFailover(t *testing.T) {
	key := newKey(t)
	f, other := newFar(t, key), newFar(t, key)
	other.records, other.batches = f.records, f.batches
	cfg := acknowledged(f.addr.String(), key)
	cfg.Standby, cfg.FailoverAfter = []string{other.addr.String()}, 500*time.Millisecond
	s := run(t, cfg)
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	added := feed(b, 0, 3000)
	eventually(t, "acknowledgement", func() bool { b.Flush(time.Now().UnixNano()); return s.Stats().Acked == added })
	first := f.has()
	f.stop()
	more := feed(b, 10_000, 3000)
	b.Close()
	eventuallyIn(t, 20*time.Second, "acknowledgement by the other", func() bool { return s.Stats().Acked == added.Plus(more) })
	stats := s.drain(t)
	balance(t, stats)
	if first != added || other.has() != more || stats.Failovers == 0 || s.RemoteAddr() != other.addr {
		t.Errorf("%+v then %+v, %d failovers, remote %v", first, other.has(), stats.Failovers, s.RemoteAddr())
	}
	other.once()
}
