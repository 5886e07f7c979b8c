package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowsensor/internal/store"
)

func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poison := " 3000000007\n" // record 7 of batch 3 is too large alone
		f := &fake{judge: func(lines []string) error {
			if len(lines) > 30 || strings.Contains(strings.Join(lines, ""), poison) {
				return &store.Error{Class: store.TooLarge, Err: errors.New("too large"), Code: 413}
			}
			return nil
		}}
		s := newSetup(t, small(), f, 1<<20)
		s.start()
		s.submit(t, 5)
		if err := s.finish(t, time.Minute); err != nil {
			t.Error(err)
		}
		dead := s.deadLines(t)
		if len(f.points) != 99 || len(dead) != 1 || !strings.HasSuffix(dead[0], poison) || s.Stats().DeadLettered[store.DeadTooLarge].Records != 1 {
			t.Errorf("%d points, dead %q, %+v", len(f.points), dead, s.Stats())
		}
		if s.Stats().Retries != 0 || s.Stats().Splits == 0 {
			t.Errorf("%+v: splitting needs no pause", s.Stats())
		}
	})
}

// bad lines are those whose point time ends in 7 or 13 after the base.
func bad(line string) bool {
	return strings.HasSuffix(line, "000007\n") || strings.HasSuffix(line, "000013\n")
}

func good(line string) bool { return !bad(line) }

// tell adds to a refusal what the database says of its cause.
type tell func(e *store.Error, bad []int, lines int)

func refuseBad(tell tell) func(lines []string) error {
	return func(lines []string) error {
		var indices []int
		for i, line := range lines {
			if bad(line) {
				indices = append(indices, i)
			}
		}
		if len(indices) == 0 {
			return nil
		}
		e := &store.Error{Class: store.Refused, Err: errors.New("type conflict"), Code: 400, Why: store.DeadTypeConflict}
		tell(e, indices, len(lines))
		return e
	}
}

// TestRefusedLines: bad lines end in the dead-letter file and good ones in the database, however much the answer tells.
func TestRefusedLines(t *testing.T) {
	for name, c := range map[string]struct {
		tell     tell
		requests int // at most
	}{
		"nothing told":    {func(*store.Error, []int, int) {}, 100},
		"how many":        {func(e *store.Error, bad []int, _ int) { e.Lines = len(bad) }, 100},
		"which":           {func(e *store.Error, bad []int, _ int) { e.Suspects, e.Lines = bad, len(bad) }, 3},
		"which, but late": {func(e *store.Error, bad []int, _ int) { e.Suspects = bad[:1] }, 100},
		"wrong ones": {func(e *store.Error, bad []int, lines int) {
			if bad[0] > 0 && lines > 1 {
				e.Suspects = []int{0}
			}
		}, 250},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refusedLines(t, c.tell, c.requests) })
		})
	}
}

func refusedLines(t *testing.T, tell tell, requests int) {
	t.Helper()
	f := &fake{keep: good, judge: refuseBad(tell)}
	s := newSetup(t, small(), f, 1<<20)
	s.start()
	all := s.submit(t, 5)
	if err := s.finish(t, time.Minute); err != nil {
		t.Error(err)
	}
	dead, stats := s.deadLines(t), s.Stats()
	if len(f.points) != 90 || len(dead) != 10 || slices.ContainsFunc(dead, good) {
		t.Errorf("%d points, dead %q", len(f.points), dead)
	}
	conflicts := stats.DeadLettered[store.DeadTypeConflict]
	if conflicts.Records != 10 || plus(stats.Written, conflicts) != countOf(all...) {
		t.Errorf("%+v", stats)
	}
	if len(f.calls) > requests || stats.Retries != 0 || len(s.stored) != 5 {
		t.Errorf("%d requests, %d retries, %d released", len(f.calls), stats.Retries, len(s.stored))
	}
}

// TestAllRefusedAtOnce: a database that refuses everything of a chunk and says so is not asked for each line.
func TestAllRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{judge: func(lines []string) error {
			return &store.Error{Class: store.Refused, Err: errors.New("too old"), Why: store.DeadBeyondRetention, Lines: len(lines)}
		}}
		s := newSetup(t, small(), f, 1<<20)
		s.start()
		s.submit(t, 5)
		if err := s.finish(t, time.Minute); err != nil {
			t.Error(err)
		}
		if len(f.calls) != 1 || s.Stats().DeadLettered[store.DeadBeyondRetention].Records != 100 {
			t.Errorf("%d requests, %+v", len(f.calls), s.Stats())
		}
	})
}

// TestDoubtfulRefusal: an answer that may mean the request and not its lines buries nothing before another line was taken.
func TestDoubtfulRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := true
		poison := func(line string) bool { return strings.HasSuffix(line, "1000000000\n") } // the very first
		f := &fake{}
		f.judge = func(lines []string) error {
			if wrong || slices.ContainsFunc(lines, poison) {
				return &store.Error{Class: store.Refused, Err: errors.New("bad request"), Code: 400, Doubtful: true}
			}
			return nil
		}
		s := newSetup(t, small(), f, 1<<20)
		s.start()
		s.submit(t, 5)
		time.Sleep(time.Hour)
		synctest.Wait()
		if dead := s.deadLines(t); len(dead) != 0 || len(f.points) != 0 || s.log.count("bad request") == 0 {
			t.Errorf("%d points, dead %q", len(f.points), dead)
		}
		f.mu.Lock()
		wrong = false
		f.mu.Unlock()
		if err := s.finish(t, time.Hour); err != nil {
			t.Error(err)
		}
		if dead := s.deadLines(t); len(dead) != 1 || !poison(dead[0]) || len(f.points) != 99 {
			t.Errorf("%d points, dead %q", len(f.points), dead)
		}
	})
}
