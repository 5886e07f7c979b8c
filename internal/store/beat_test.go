package store_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowsensor/internal/store"
)

// movers counts the writers that show life within a while.
func movers(p *store.Pool) (n int) {
	before := make([]uint64, p.Writers())
	for i := range before {
		before[i] = p.Turns(i)
	}
	time.Sleep(3 * time.Second)
	for i := range before {
		if p.Turns(i) != before[i] {
			n++
		}
	}
	return n
}

// A writer moves while it waits, pauses and writes; one whose write does not end stops moving.
func TestWritersShowLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := small()
		cfg.Writers, cfg.Longest = 2, time.Minute
		stuck, failing := make(chan struct{}), atomic.Bool{}
		failing.Store(true)
		s := newSetup(t, cfg, &fake{judge: func([]string) error {
			if failing.Load() {
				return errors.New("connection refused")
			}
			<-stuck
			return nil
		}}, 1<<20)
		s.start()
		expect := func(want int, when string) {
			t.Helper()
			if n := movers(s.Pool); n != want {
				t.Errorf("%s: %d writers show life, want %d", when, n, want)
			}
		}
		expect(2, "nothing to write")
		s.submit(t, 1)
		time.Sleep(10 * time.Second)
		expect(2, "one pauses after a failure")
		failing.Store(false)
		time.Sleep(46 * time.Second) // longer than any pause
		expect(2, "one writes")
		time.Sleep(2 * time.Minute)
		expect(1, "one is stuck")
		close(stuck)
		time.Sleep(time.Second)
		expect(2, "its write ended at last")
		if err := s.finish(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}
