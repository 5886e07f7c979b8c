package export_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
)

// fakeClock is a wall clock that a test sets.
type fakeClock struct{ ns atomic.Int64 }

func (c *fakeClock) Now() time.Time { return time.Unix(0, c.ns.Load()) }

func (c *fakeClock) step(d time.Duration) { c.ns.Add(int64(d)) }

// life is one run of a sensor: it sends, and ends cleanly or is killed.
type life struct {
	t     *testing.T
	in    *sink
	key   seal.Key
	clock *fakeClock
	dir   string
	log   bytes.Buffer
}

func newLife(t *testing.T) *life {
	t.Helper()
	l := &life{t: t, in: newSink(t, "127.0.0.1:0"), key: newKey(t), clock: &fakeClock{}, dir: t.TempDir()}
	l.clock.ns.Store(1_763_800_000_123_456_789)
	return l
}

func (l *life) start() *export.Sender {
	l.t.Helper()
	cfg := config(l.in.addr.String(), l.key)
	cfg.Keeping, cfg.StateDir, cfg.Clock = export.InStateDir, l.dir, l.clock.Now
	s, err := export.NewSender(cfg, slog.New(slog.NewTextHandler(&l.log, nil)))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = s.Close() })
	return s
}

// send drains n records into a few datagrams.
func (l *life) send(s *export.Sender, n int) {
	l.t.Helper()
	b := s.Batcher("eth0")
	for i := range n {
		r := record(i)
		b.Add(&r)
	}
	b.Close()
	if err := s.Drain(l.t.Context()); err != nil {
		l.t.Error(err)
	}
}

// check holds all point times and boots of all lives together: none twice.
func (l *life) check(datagrams uint64) []arrival {
	l.t.Helper()
	arrived := open(l.t, l.in.wait(l.t, datagrams), l.key)
	seen := make(map[int64]bool)
	last := make(map[uint64]bool)
	var newest uint64
	for i, a := range arrived {
		if a.header.Boot < newest {
			l.t.Errorf("datagram %d: boot %d after %d", i, a.header.Boot, newest)
		}
		newest = a.header.Boot
		last[newest] = true
		for j := range a.batch.Records {
			at := a.batch.Base + int64(j)
			if seen[at] {
				l.t.Fatalf("datagram %d: point time %d is given twice", i, at)
			}
			seen[at] = true
		}
	}
	return arrived
}

// TestPointTimesAreUnique runs a sensor many times with a clock that jumps both ways between and within the runs.
func TestPointTimesAreUnique(t *testing.T) {
	for name, kill := range map[string]func(*export.Sender){
		"closed": func(s *export.Sender) { _ = s.Close() },
		"killed": (*export.Sender).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLife(t)
			var sent uint64
			boots := make(map[uint64]bool)
			for _, step := range []time.Duration{
				0, 0, -time.Hour, time.Nanosecond, time.Minute, -time.Second, 3 * time.Hour, -24 * time.Hour, 0, 0, time.Millisecond,
			} {
				l.clock.step(step)
				s := l.start()
				l.send(s, 100)
				sent += s.Stats().Datagrams
				kill(s)
			}
			for _, a := range l.check(sent) {
				boots[a.header.Boot] = true
			}
			if len(boots) != 11 {
				t.Errorf("%d boots of 11 runs", len(boots))
			}
		})
	}
}

// TestClockStepsWhileRunning: stamps go on, and their lead over the clock is told.
func TestClockStepsWhileRunning(t *testing.T) {
	l := newLife(t)
	cfg := config(l.in.addr.String(), l.key)
	cfg.Keeping, cfg.StateDir, cfg.Clock = export.InStateDir, l.dir, l.clock.Now
	s := run(t, cfg)
	var n uint64
	for _, step := range []time.Duration{0, -time.Hour, 0, 2 * time.Hour, -time.Nanosecond, -3 * time.Hour} {
		l.clock.step(step)
		b := s.Batcher("eth0")
		for i := range 100 {
			r := record(i)
			b.Add(&r)
		}
		b.Close()
		n += 100
		eventually(t, "send", func() bool { return s.Stats().Sent.Records == n })
	}
	stats := s.drain(t)
	if lead := stats.StampLead; lead < 3*time.Hour-time.Second || lead > 3*time.Hour+time.Second {
		t.Errorf("stamps lead by %v", lead)
	}
	l.check(stats.Datagrams)
}

// TestKilledSensorsLead: a sensor that is killed again and again does not run away from the clock.
func TestKilledSensorsLead(t *testing.T) {
	l := newLife(t)
	var sent uint64
	for range 20 {
		s := l.start()
		l.send(s, 50)
		stats := s.Stats()
		sent += stats.Datagrams
		if most := export.ReserveAhead + 20*100*time.Millisecond; stats.StampLead > most {
			t.Fatalf("stamps lead by %v, at most %v is due", stats.StampLead, most)
		}
		s.Kill()
	}
	l.check(sent)
	s := l.start()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestDamagedState: set aside, said, and the sensor starts from the clock.
func TestDamagedState(t *testing.T) {
	good := export.EncodeState(5, 6)
	for name, content := range map[string][]byte{
		"empty": {}, "junk": []byte("\x00\xff"), "truncated": good[:len(good)-3], "longer": append(bytes.Clone(good), '\n'),
		"flipped": bytes.Replace(good, []byte("boot 5"), []byte("boot 7"), 1),
		"huge":    bytes.Repeat([]byte("x"), 1<<20),
		"future":  export.EncodeState(1, flow.MaxTime+1),
	} {
		t.Run(name, func(t *testing.T) { startDamaged(t, content) })
	}
}

func startDamaged(t *testing.T, content []byte) {
	t.Helper()
	l := newLife(t)
	path := filepath.Join(l.dir, export.StateName)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := l.start()
	l.send(s, 10)
	arrived := l.check(s.Stats().Datagrams)
	if got, want := arrived[0].header.Boot, uint64(l.clock.ns.Load()); got != want {
		t.Errorf("boot %d, want the clock's %d", got, want)
	}
	aside, err := os.ReadFile(path + ".damaged")
	if err != nil || !bytes.Equal(aside, content) {
		t.Errorf("the damaged file is not kept: %v", err)
	}
	if text := l.log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, path+".damaged") {
		t.Errorf("log: %s", text)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if boot, stamp, err := export.DecodeState(b); err != nil || boot == 0 || stamp == 0 {
		t.Errorf("new state %d, %d, %v", boot, stamp, err)
	}
}

// TestStateDirectory: where it cannot be used the start fails, with the remedy.
func TestStateDirectory(t *testing.T) {
	in := newSink(t, "127.0.0.1:0")
	cfg := config(in.addr.String(), newKey(t))
	cfg.Keeping, cfg.StateDir = export.InStateDir, filepath.Join(t.TempDir(), "none")
	refused := func(want string) {
		t.Helper()
		_, err := export.NewSender(cfg, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a text with %q", err, want)
		}
	}
	refused("StateDirectory=flow-sensor")

	cfg.StateDir = t.TempDir()
	if err := os.Mkdir(filepath.Join(cfg.StateDir, export.StateName+".tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	refused("must be able to write there")

	cfg.StateDir = t.TempDir()
	first := newSender(t, cfg)
	refused("in use by another running sensor")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	newSender(t, cfg)
}

// TestStateWriteFails: at run time it costs no flow, and is counted and said once.
func TestStateWriteFails(t *testing.T) {
	l := newLife(t)
	s := l.start()
	if err := os.RemoveAll(l.dir); err != nil {
		t.Fatal(err)
	}
	l.send(s, 5000)
	stats := s.Stats()
	if stats.Sent.Records != 5000 || stats.StateFails == 0 {
		t.Errorf("sent %d, failed writes %d", stats.Sent.Records, stats.StateFails)
	}
	if err := s.Close(); err == nil {
		t.Error("Close does not tell that the mark was not stored")
	}
	if n := strings.Count(l.log.String(), "state file not written"); n != 1 {
		t.Errorf("said %d times:\n%s", n, l.log.String())
	}
	l.check(stats.Datagrams)
}

func FuzzState(f *testing.F) {
	f.Add(export.EncodeState(1_763_800_000_123_456_789, 1_763_800_010_123_456_789))
	f.Add([]byte("flow-sensor export state 1\nboot 1\nstamp 2\ncrc32c 00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		boot, stamp, err := export.DecodeState(b)
		if err != nil {
			return
		}
		if !bytes.Equal(b, export.EncodeState(boot, stamp)) {
			t.Errorf("%q is taken as %d, %d", b, boot, stamp)
		}
	})
}
