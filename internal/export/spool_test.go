package export_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/ingest"
	"flowsensor/internal/smalldisk"
	"flowsensor/internal/testnet"
)

// begin runs a sender that the test ends by killing it.
func begin(t *testing.T, cfg export.Config) (s *export.Sender, kill func()) {
	t.Helper()
	s, err := export.NewSender(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Kill()
	}
}

// TestKilledSensorKeepsItsSpool kills a sensor while the collector is away: what was spooled, sent before or not, comes
// through in the next life, and is stored once, though the collector had stored a part of it already.
func TestKilledSensorKeepsItsSpool(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	f := newFar(t, key)
	cfg := spooling(f.addr.String(), key, dir)
	// The first life's answers never come, though what it sends does.
	proxy := newProxy(t, testnet.ProxyConfig{Listen: "127.0.0.1:0", Target: f.addr.String(), Back: testnet.Faults{Loss: 1}})
	cfg.Collector = proxy.Addr().String()
	var added export.Amount
	for life := range 3 {
		s, kill := begin(t, cfg)
		b := s.Batcher("eth0")
		b.WaitForRoom(t.Context())
		recovered := s.Stats().Recovered
		added = added.Plus(feed(b, life*100_000, 50_000)) // more than may be unacknowledged
		b.Close()
		eventuallyIn(t, 20*time.Second, "everything spooled", func() bool {
			st := s.Stats()
			return st.SpoolBatches > 0 && st.Waiting == 0 && st.SpoolBatches >= st.InFlight+st.Backlog && settledOnDisk(st)
		})
		balance(t, s.Stats())
		kill()
		if life > 0 && recovered.Records == 0 {
			t.Error("nothing was recovered")
		}
	}
	mode(t, filepath.Join(dir, "spool.db"), 0o600)
	cfg.Collector = f.addr.String()
	s := run(t, cfg)
	if got := s.Stats().Recovered; got != added {
		t.Errorf("recovered %+v, want %+v", got, added)
	}
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	live := feed(b, 1_000_000, 3000)
	b.Close()
	all := added.Plus(live)
	eventuallyIn(t, 30*time.Second, "acknowledgement of all", func() bool { return s.Stats().Acked == all })
	stats := s.drain(t)
	balance(t, stats)
	f.once()
	if f.has() != all || stats.Pending != (export.Amount{}) || f.server.Stats().Outcomes[ingest.ReasonDuplicate] == 0 {
		t.Errorf("stored %+v of %+v, %d again; %+v", f.has(), all, f.again, stats)
	}
	eventually(t, "empty spool", func() bool { return s.Stats().SpoolBatches == 0 })
	boots := map[uint64]bool{}
	for id := range f.batches {
		boots[id.boot] = true
	}
	if len(boots) < 4 {
		t.Errorf("batches of %d boots", len(boots))
	}
}

// settledOnDisk: all batches of the test are in the spool.
func settledOnDisk(st export.Stats) bool {
	return st.InFlight+st.Backlog <= st.SpoolBatches && st.Pending.Records > 0 && st.Added.Records > 0 && st.Waiting == 0 &&
		st.SpoolBatches-st.InFlight == st.Backlog
}

func mode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != want {
		t.Errorf("%s: %v", path, info.Mode())
	}
}

// TestStopKeepsInSpool: what a clean end could not deliver waits in the spool, nothing is lost, and it does not take long.
func TestStopKeepsInSpool(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	f := newFar(t, key)
	f.stop()
	cfg := spooling(f.addr.String(), key, dir)
	s := run(t, cfg)
	b := s.Batcher("eth0")
	added := feed(b, 0, 3000)
	b.Close()
	start := time.Now()
	stats := s.drain(t)
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("took %v", took)
	}
	balance(t, stats)
	if stats.Pending != added || stats.DroppedTotal() != (export.Amount{}) {
		t.Errorf("%+v", stats)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	f.start()
	again := run(t, cfg)
	eventually(t, "delivery by the next life", func() bool { return again.Stats().Acked == added })
	again.drain(t)
	f.once()
	if f.has() != added {
		t.Errorf("stored %+v of %+v", f.has(), added)
	}
}

// TestBacklogDrainsBesideLive: after an outage the spool empties while live batches go first, and both come through.
func TestBacklogDrainsBesideLive(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	f.stop()
	s := run(t, spooling(f.addr.String(), key, t.TempDir()))
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	added := feed(b, 0, 150_000)
	eventuallyIn(t, 20*time.Second, "backlog", func() bool { st := s.Stats(); return st.Backlog > 1000 && st.Waiting == 0 })
	f.start()
	shrinking := false
	for i := range 40 {
		added = added.Plus(feed(b, 1_000_000+i*500, 500))
		b.Flush(time.Now().UnixNano())
		time.Sleep(50 * time.Millisecond)
		st := s.Stats()
		shrinking = shrinking || st.Backlog > 0 && st.Acked.Records > 10_000
	}
	b.Close()
	stats := delivered(t, s, f, added)
	if !shrinking {
		t.Error("the backlog was not seen to shrink")
	}
	if stats.DroppedTotal() != (export.Amount{}) || stats.Sent != added {
		t.Errorf("sent %+v of %+v, dropped %+v", stats.Sent, added, stats.Dropped)
	}
}

// TestFullSpoolDropsTheOldest, and counts it; what is left is delivered.
func TestFullSpoolDropsTheOldest(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	f.stop()
	cfg := spooling(f.addr.String(), key, t.TempDir())
	cfg.SpoolSize = 512 << 10
	s := run(t, cfg)
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	added := feed(b, 0, 60_000)
	b.Close()
	eventuallyIn(t, 20*time.Second, "full spool", func() bool { st := s.Stats(); return st.Dropped[export.SpoolFull].Records > 0 && st.Waiting == 0 })
	if st := s.Stats(); st.SpoolBytes > cfg.SpoolSize {
		t.Errorf("%d bytes in the spool", st.SpoolBytes)
	}
	balance(t, s.Stats())
	f.start()
	eventuallyIn(t, 20*time.Second, "delivery of the rest", func() bool { return s.Stats().Pending == (export.Amount{}) })
	stats := s.drain(t)
	balance(t, stats)
	f.once()
	if got := f.has().Plus(stats.DroppedTotal()); got != added || f.has() != stats.Acked {
		t.Errorf("stored %+v + dropped %+v, added %+v", f.has(), stats.Dropped, added)
	}
	newest := record(59_999)
	if f.records[newest.Bytes] != 1 {
		t.Error("the newest record was dropped")
	}
}

// TestDamagedSpool: whatever lies there, the sensor sets it aside with an error and runs.
func TestDamagedSpool(t *testing.T) {
	key, source := newKey(t), t.TempDir()
	f := newFar(t, key)
	f.stop()
	first := run(t, spooling(f.addr.String(), key, source))
	b := first.Batcher("eth0")
	b.WaitForRoom(t.Context())
	feed(b, 0, 40_000)
	b.Close()
	first.drain(t)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(source, "spool.db"))
	if err != nil {
		t.Fatal(err)
	}
	f.start()
	spoil := func(change func([]byte) []byte) []byte { return change(append([]byte(nil), good...)) }
	for name, content := range map[string][]byte{
		"junk":       []byte(strings.Repeat("not a spool", 10_000)),
		"short junk": []byte("x"),
		"truncated":  good[:len(good)/2],
		"cut low":    good[:8192],
		"odd length": good[:len(good)/3+17],
		"flipped": spoil(func(b []byte) []byte {
			for i := 5 * 4096; i < len(b); i += 4096 * 3 {
				b[i+700] ^= 0xff
			}
			return b
		}),
		"pages of noise": spoil(func(b []byte) []byte {
			for i := 4 * 4096; i < len(b); i++ {
				b[i] = byte(i*7919>>3 ^ i)
			}
			return b
		}),
		"zeroed": spoil(func(b []byte) []byte { clear(b[2*4096:]); return b }),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "spool.db"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			log := &syncBuffer{}
			s := runLogged(t, spooling(f.addr.String(), key, dir), log)
			b := s.Batcher("eth0")
			added := feed(b, 0, 500)
			b.Close()
			eventually(t, "delivery", func() bool { return s.Stats().Acked == added })
			if !strings.Contains(log.String(), "spool set aside") {
				t.Errorf("log:\n%s", log.String())
			}
			if _, err := os.Stat(filepath.Join(dir, "spool.db.damaged")); err != nil {
				t.Error(err)
			}
			balance(t, s.Stats())
		})
	}
}

// TestDiskFull: a spool on a full disk gives up the oldest, what is in memory goes on, and the ledger holds.
func TestDiskFull(t *testing.T) {
	dir := smalldisk.Mount(t, "4m")
	key := newKey(t)
	f := newFar(t, key)
	f.stop()
	cfg := spooling(f.addr.String(), key, dir)
	log := &syncBuffer{}
	s := runLogged(t, cfg, log)
	b := s.Batcher("eth0")
	added := feed(b, 0, 1)
	for i := 1; s.Stats().Dropped[export.SpoolFull].Records == 0 || i < 3000; i++ {
		added = added.Plus(feed(b, i*100, 100))
		b.Flush(time.Now().UnixNano())
		time.Sleep(200 * time.Microsecond)
		if i > 20_000 {
			t.Fatal("the disk does not fill")
		}
	}
	b.Close()
	if strings.Contains(log.String(), "not written") {
		t.Errorf("log:\n%s", log.String())
	}
	f.start()
	for end := time.Now().Add(30 * time.Second); s.Stats().Pending != (export.Amount{}); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no delivery of the rest: %+v\n%s", s.Stats(), log.String())
		}
	}
	stats := s.drain(t)
	balance(t, stats)
	f.once()
	if got := f.has().Plus(stats.DroppedTotal()); got != added || f.has() != stats.Acked || f.has().Records == 0 {
		t.Errorf("stored %+v + dropped %+v, added %+v", f.has(), stats.Dropped, added)
	}
	t.Logf("dropped %+v of %+v, %d failures", stats.Dropped, added, stats.SpoolFails)
}
