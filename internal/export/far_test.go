package export_test

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
)

// identity is what a batch is known by for ever.
type identity struct{ boot, seq uint64 }

// far is a collector: a real ingest, and a store that outlives it. As the next stages do, it takes each identity once.
type far struct {
	t    testing.TB
	addr netip.AddrPort
	keys []seal.Key
	log  *syncBuffer

	server *ingest.Server
	cancel context.CancelFunc
	ended  chan error

	mu      sync.Mutex
	verdict func(*flow.Batch) ingest.Verdict // nil: accept
	result  func(*flow.Batch) ingest.Result  // nil: durable
	hold    func(*flow.Batch)                // instead, when set: to be settled later
	batches map[identity]int64               // base
	records map[uint64]int                   // by their unique Bytes: in how many identities
	answers map[string]int                   // by their unique questions, likewise
	sum     export.Amount
	again   int // identities that came more than once
}

func newFar(tb testing.TB, keys ...seal.Key) *far {
	tb.Helper()
	f := &far{
		t: tb, addr: netip.MustParseAddrPort("127.0.0.1:0"), keys: keys, log: &syncBuffer{},
		batches: make(map[identity]int64), records: make(map[uint64]int), answers: make(map[string]int),
	}
	f.start()
	tb.Cleanup(f.stop)
	return f
}

func (f *far) opener() *seal.Opener {
	f.t.Helper()
	opener, err := seal.NewOpener([]seal.Sensor{{ID: sensorID, Keys: f.keys}}, seal.Limits{})
	if err != nil {
		f.t.Fatal(err)
	}
	return opener
}

func (f *far) start() {
	f.t.Helper()
	log := slog.New(slog.NewTextHandler(f.log, nil))
	server, err := ingest.Listen(ingest.Config{Listen: []netip.AddrPort{f.addr}, Processors: 1, ID: "far"}, f.opener(), log)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.server, f.cancel, f.ended, f.addr = server, cancel, make(chan error, 1), server.Addrs()[0]
	go func() { f.ended <- server.Run(ctx, f.sink) }()
}

func (f *far) stop() {
	f.t.Helper()
	if f.server == nil {
		return
	}
	f.cancel()
	if err := <-f.ended; err != nil {
		f.t.Error(err)
	}
	if err := f.server.Close(); err != nil {
		f.t.Error(err)
	}
	f.server = nil
}

func (f *far) sink(b *flow.Batch) ingest.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.verdict != nil {
		if v := f.verdict(b); v != ingest.Accepted {
			return v
		}
	}
	if f.hold != nil {
		f.hold(b)
		return ingest.Accepted
	}
	result := ingest.Durable
	if f.result != nil {
		result = f.result(b)
	}
	if result == ingest.Durable {
		f.store(b)
	}
	f.server.Settle(b, result)
	return ingest.Accepted
}

func (f *far) store(b *flow.Batch) {
	id := identity{b.Boot, b.Seq}
	if base, known := f.batches[id]; known {
		f.again++
		if base != b.Base {
			f.t.Errorf("boot %d seq %d came as two batches", b.Boot, b.Seq)
		}
		return
	}
	f.batches[id] = b.Base
	for i := range b.Records {
		r := &b.Records[i]
		f.records[r.Bytes]++
		f.sum = f.sum.Plus(export.Amount{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
	}
	for i := range b.Answers {
		f.answers[b.Answers[i].Question]++
		f.sum.Answers++
	}
}

// has gives what is stored.
func (f *far) has() export.Amount {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sum
}

func (f *far) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// once wants no record to be stored twice.
func (f *far) once() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for record, n := range f.records {
		if n != 1 {
			f.t.Errorf("record %d is stored %d times", record, n)
		}
	}
	for question, n := range f.answers {
		if n != 1 {
			f.t.Errorf("the answer to %s is stored %d times", question, n)
		}
	}
}

// acknowledged is a sensor's configuration with short times.
func acknowledged(collector string, key seal.Key) export.Config {
	cfg := config(collector, key)
	cfg.Delivery = export.Acknowledged
	cfg.ResendAfter, cfg.ResendMost, cfg.SpoolAfter = 200*time.Millisecond, time.Second, 300*time.Millisecond
	return cfg
}

func spooling(collector string, key seal.Key, dir string) export.Config {
	cfg := acknowledged(collector, key)
	cfg.Keeping, cfg.StateDir = export.InStateDir, dir
	return cfg
}

// feed adds records from first on, patiently, and gives their sum.
func feed(b *export.Batcher, first, n int) (sum export.Amount) {
	for i := first; i < first+n; i++ {
		r := record(i)
		b.Add(&r)
		sum = sum.Plus(export.Amount{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
	}
	return sum
}

// balance holds the identity of the ledger.
func balance(tb testing.TB, s export.Stats) {
	tb.Helper()
	if whole := s.Added.Plus(s.Recovered); s.Pending.Records > whole.Records || s.Pending.Bytes > whole.Bytes {
		tb.Errorf("more is settled than there was: %+v", s)
	}
	if got := s.Acked.Plus(s.DroppedTotal()).Plus(s.Pending); got != s.Added.Plus(s.Recovered) {
		tb.Errorf("acked %+v + dropped %+v + pending %+v, but added %+v + recovered %+v", s.Acked, s.Dropped, s.Pending, s.Added, s.Recovered)
	}
}

// delivered wants everything that was added to be stored, once, and to be acknowledged.
func delivered(t *testing.T, s *running, f *far, added export.Amount) export.Stats {
	t.Helper()
	eventuallyIn(t, 30*time.Second, "acknowledgement of all", func() bool { return s.Stats().Acked == added })
	stats := s.drain(t)
	balance(t, stats)
	if got := f.has(); got != added || stats.Pending != (export.Amount{}) || stats.Acked != added {
		t.Errorf("stored %+v, added %+v, acked %+v, pending %+v, dropped %+v", got, added, stats.Acked, stats.Pending, stats.Dropped)
	}
	f.once()
	return stats
}

func eventuallyIn(tb testing.TB, within time.Duration, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("no %s within %v", what, within)
		}
	}
}
