package export_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/testnet"
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

// TestClockOff: 30 s off is refused, with the offset named to both sides; when it is mended, everything goes through.
func TestClockOff(t *testing.T) {
	for name, offset := range map[string]time.Duration{"behind": -30 * time.Second, "ahead": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := newKey(t)
			f := newFar(t, key)
			clock := &shiftedClock{}
			cfg := spooling(f.addr.String(), key, t.TempDir())
			cfg.Clock = clock.Now
			log := &syncBuffer{}
			s := runLogged(t, cfg, log)
			b := s.Batcher("eth0")
			added := feed(b, 0, 2000)
			eventually(t, "first", func() bool { b.Flush(time.Now().UnixNano()); return s.Stats().Acked == added })
			clock.shift(offset)
			added = added.Plus(feed(b, 10_000, 3000))
			b.Close()
			eventually(t, "offset", func() bool { return (s.Stats().ClockOffset - offset).Abs() < 2*time.Second })
			eventually(t, "probe", func() bool { return s.Stats().Probes > 0 })
			sent := s.Stats().Datagrams
			time.Sleep(700 * time.Millisecond)
			if more := s.Stats().Datagrams - sent; more > 0 || !s.Stats().Held {
				t.Errorf("%d datagrams under a clock that is refused", more)
			}
			if !strings.Contains(log.String(), "clock_offset=") || !strings.Contains(f.log.String(), "clock_offset=") {
				t.Error("the offset is not named on both sides")
			}
			clock.shift(0)
			delivered(t, s, f, added)
			if s.Stats().ClockOffset != 0 || !strings.Contains(log.String(), "takes this sensor's clock again") {
				t.Error("not resumed in the log")
			}
		})
	}
}

// shiftedClock is the wall clock, off by what a test says.
type shiftedClock struct {
	mu sync.Mutex
	by time.Duration // protected by mu
}

func (c *shiftedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *shiftedClock) shift(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by = by
}

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
