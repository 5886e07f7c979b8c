package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPoolStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, small(), &fake{}, 1<<20)
		s.start()
		all := s.submit(t, 23)
		if err := s.Submit(&flow.Batch{}); err != nil {
			t.Error("an empty batch:", err)
		}
		if err := s.finish(t, time.Minute); err != nil {
			t.Error(err)
		}
		stats := s.Stats()
		if stats.Written != countOf(all...) || stats.Lines != 460 || len(s.fake.points) != 460 || len(s.stored) != 24 {
			t.Errorf("%+v, %d points, %d batches released", stats, len(s.fake.points), len(s.stored))
		}
		if !slices.Equal(s.fake.sizes, []int{100, 100, 100, 100, 60}) {
			t.Errorf("chunks of %v lines", s.fake.sizes)
		}
	})
}

func TestPoolWritesByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, small(), &fake{}, 1<<20)
		s.start()
		began := time.Now()
		s.submit(t, 1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(s.fake.calls) != 1 || s.fake.calls[0].Sub(began) != time.Second {
			t.Errorf("written at %v, submitted at %v", s.fake.calls, began)
		}
		_ = s.finish(t, time.Second)
	})
}

func TestPoolCutsByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := small()
		cfg.Bytes = 8192
		f := &fake{judge: func(lines []string) error {
			if n := len(strings.Join(lines, "")); n > cfg.Bytes*5/4 {
				t.Errorf("a request of %d bytes", n)
			}
			return nil
		}}
		s := newSetup(t, cfg, f, 1<<20)
		s.start()
		s.submit(t, 20)
		if err := s.finish(t, time.Minute); err != nil || len(f.points) != 400 {
			t.Error(err, len(f.points))
		}
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := small()
		cfg.Queue = 200
		s := newSetup(t, cfg, &fake{}, 1<<20)
		all := s.submit(t, 10)
		extra := batch(rand.New(rand.NewPCG(1, 1)), 1)
		if err := s.Submit(extra); !errors.Is(err, store.ErrFull) {
			t.Error(err)
		}
		if stats := s.Stats(); stats.Dropped[store.DropQueueFull] != countOf(extra) || stats.Pending != countOf(all...) {
			t.Errorf("%+v", stats)
		}
		s.start()
		if err := s.finish(t, time.Minute); err != nil {
			t.Error(err)
		}
		if err := s.Submit(extra); !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
		s.conserved(t)
		if stats := s.Stats(); stats.Dropped[store.DropClosed] != countOf(extra) || stats.Written != countOf(all...) || len(s.dropped) != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// TestDrainInVain: a database that is away costs what is pending at the deadline, counted, and no more time than given.
func TestDrainInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, small(), &fake{judge: func([]string) error { return errors.New("away") }}, 1<<20)
		s.start()
		all := s.submit(t, 30)
		time.Sleep(time.Minute)
		began := time.Now()
		if err := s.finish(t, 10*time.Second); err == nil {
			t.Error("no error although nothing was written")
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %s", took)
		}
		if stats := s.Stats(); stats.Dropped[store.DropShutdown] != countOf(all...) || len(s.dropped) != 30 || len(s.stored) != 0 {
			t.Errorf("%+v, %d released as dropped", stats, len(s.dropped))
		}
	})
}

func TestDrainWithoutRun(t *testing.T) {
	s := newSetup(t, small(), &fake{}, 1<<20)
	all := s.submit(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	for range 2 {
		if err := s.Drain(ctx); err == nil {
			t.Error("no error although nothing was written")
		}
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("runs after it was drained")
	}
	if stats := s.Stats(); stats.Dropped[store.DropShutdown] != countOf(all...) || len(s.dropped) != 3 {
		t.Errorf("%+v", stats)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := newSetup(t, small(), &fake{judge: func([]string) error { return errors.New("away") }}, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { s.ran <- s.Run(ctx) }()
	s.submit(t, 10)
	cancel()
	if err := <-s.ran; err != nil {
		t.Error(err)
	}
	if err := s.Submit(batch(rand.New(rand.NewPCG(1, 1)), 1)); !errors.Is(err, store.ErrClosed) {
		t.Error("submitted after the end:", err)
	}
	if pending := s.conserved(t); pending != (store.Count{}) || len(s.dropped) != 10 {
		t.Errorf("%+v pending, %d released", pending, len(s.dropped))
	}
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{judge: func([]string) error { return errors.New("away") }}
		s := newSetup(t, small(), f, 1<<20)
		s.start()
		s.submit(t, 5)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		f.mu.Lock()
		f.judge = nil
		calls := slices.Clone(f.calls)
		f.mu.Unlock()
		for i := 1; i < len(calls); i++ {
			middle := min(500*time.Millisecond<<(i-1), 30*time.Second)
			if pause := calls[i].Sub(calls[i-1]); pause < middle/2 || pause > middle*3/2+1 {
				t.Errorf("pause %d is %s, want %s give or take half", i, pause, middle)
			}
		}
		if len(calls) < 15 || s.Stats().Failing != 1 {
			t.Errorf("%d attempts in ten minutes, %d failing", len(calls), s.Stats().Failing)
		}
		if err := s.finish(t, time.Minute); err != nil {
			t.Error(err)
		}
		if s.Stats().Failing != 0 || s.log.count("trying again") != 1 || s.log.count("stored again") != 1 {
			t.Errorf("%+v\n%s", s.Stats(), s.log.buf.String())
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for asked, wanted := range map[time.Duration]time.Duration{45 * time.Second: 45 * time.Second, 24 * time.Hour: 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			first := true
			f := &fake{judge: func([]string) error {
				if first {
					first = false
					return &store.Error{Class: store.Temporary, Err: errors.New("busy"), RetryAfter: asked}
				}
				return nil
			}}
			s := newSetup(t, small(), f, 1<<20)
			s.start()
			s.submit(t, 5)
			if err := s.finish(t, time.Hour); err != nil {
				t.Fatal(err)
			}
			if pause := f.calls[1].Sub(f.calls[0]); pause < wanted || pause > wanted*11/10+1 {
				t.Errorf("asked for %s, waited %s", asked, pause)
			}
			if s.Stats().Retries != 1 {
				t.Errorf("%d retries", s.Stats().Retries)
			}
		})
	}
}

// TestDeadLettersFull: writing stops, loudly, until somebody moves the file away.
func TestDeadLettersFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{judge: func(lines []string) error {
			if strings.Contains(lines[0], " 1000000") {
				return &store.Error{Class: store.Refused, Err: errors.New("no"), Lines: len(lines)}
			}
			return nil
		}}
		cfg := small()
		cfg.Lines = 20
		s := newSetup(t, cfg, f, 10_000)
		if err := os.WriteFile(s.dead, []byte("# "+strings.Repeat("x", 8000)+"\n"), 0o640); err != nil {
			t.Fatal(err)
		}
		s.start()
		s.submit(t, 5)
		time.Sleep(time.Hour)
		synctest.Wait()
		if stats := s.Stats(); stats.Written.Records != 0 || stats.Pending.Records != 100 || s.log.count(s.dead) == 0 || s.log.count("level=ERROR") != 1 {
			t.Errorf("%+v\n%s", stats, s.log.buf.String())
		}
		if err := os.Rename(s.dead, s.dead+".1"); err != nil {
			t.Fatal(err)
		}
		if err := s.finish(t, time.Minute); err != nil {
			t.Error(err)
		}
		if len(s.deadLines(t)) != 20 || len(f.points) != 80 {
			t.Errorf("%d dead, %d points", len(s.deadLines(t)), len(f.points))
		}
	})
}

func TestUnencodableRecordIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		s := newSetup(t, small(), f, 1<<20)
		b := batch(rand.New(rand.NewPCG(1, 1)), 10)
		b.Records[4].EndReason = 99
		if err := s.Submit(b); err != nil {
			t.Fatal(err)
		}
		s.start()
		if err := s.finish(t, time.Minute); err != nil {
			t.Error(err)
		}
		dead := s.deadLines(t)
		if len(f.points) != 9 || len(dead) != 1 || !strings.HasPrefix(dead[0], `# record {"sensor":"edge-1","base":`) || len(s.stored) != 1 {
			t.Errorf("%d points, dead %q", len(f.points), dead)
		}
		if s.Stats().DeadLettered[store.DeadRecordInvalid].Records != 1 {
			t.Errorf("%+v", s.Stats())
		}
	})
}

// TestConservation throws everything together, with several writers, and counts.
func TestConservation(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) { conservation(t, seed) })
	}
}

func conservation(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 99)) // under the fake's lock while it runs
	f := &fake{keep: good}
	f.judge = func(lines []string) error {
		anyBad := slices.ContainsFunc(lines, bad)
		switch n := r.IntN(10); {
		case n == 0:
			return errors.New("away")
		case n == 1:
			return &store.Error{Class: store.Configuration, Err: errors.New("closed"), RetryAfter: 3 * time.Second}
		case len(lines) > 40 && n < 8:
			return &store.Error{Class: store.TooLarge, Err: errors.New("too large")}
		case anyBad:
			return &store.Error{Class: store.Refused, Err: errors.New("bad"), Doubtful: n == 9}
		}
		return nil
	}
	cfg := small()
	cfg.Writers, cfg.Queue = 4, 1000
	s := newSetup(t, cfg, f, 1<<20)
	s.start()
	source := rand.New(rand.NewPCG(seed, 1))
	var taken, refused []*flow.Batch
	for i := range 400 {
		b := batch(source, 1+source.IntN(40))
		b.Base = int64(1+i) * 1e9
		if source.IntN(10) == 0 {
			b.Records[0].Packets = 0
		}
		if err := s.Submit(b); err != nil {
			refused = append(refused, b)
		} else {
			taken = append(taken, b)
		}
		s.conserved(t)
		time.Sleep(time.Duration(source.IntN(200)) * time.Millisecond)
	}
	drained := s.finish(t, time.Duration(source.IntN(20))*time.Second)
	stats := s.Stats()
	lost := stats.Dropped[store.DropShutdown]
	if (drained != nil) != (lost.Records > 0) || stats.Dropped[store.DropQueueFull] != countOf(refused...) {
		t.Errorf("seed %d: %v, %+v", seed, drained, stats)
	}
	if stats.Submitted != plus(countOf(taken...), countOf(refused...)) || len(s.stored)+len(s.dropped) != len(taken) {
		t.Errorf("seed %d: %d batches taken, %d and %d released, %+v", seed, len(taken), len(s.stored), len(s.dropped), stats)
	}
	dead := s.deadLines(t)
	if n := plus(stats.DeadLettered[:]...).Records; n != uint64(len(dead)) {
		t.Errorf("seed %d: %d dead letters counted, %d in the file", seed, n, len(dead))
	}
	for _, line := range dead {
		if f.points[line] || !bad(line) && !strings.HasPrefix(line, "# record ") {
			t.Errorf("seed %d: dead letter %q", seed, line)
		}
	}
	// What was broken off may be in the database though it is counted as lost, never the other way round.
	if have := uint64(len(f.points)); have < stats.Written.Records || have > stats.Written.Records+lost.Records {
		t.Errorf("seed %d: %d points, %d counted as written, %d as lost", seed, have, stats.Written.Records, lost.Records)
	}
}
