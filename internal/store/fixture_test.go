package store_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
)

// fake is a database in memory: a point is its line, so that a line written twice is there once.
type fake struct {
	mu     sync.Mutex
	points map[string]bool
	calls  []time.Time
	sizes  []int
	// judge decides what becomes of lines; they are kept where it gives nil.
	judge func(lines []string) error
	// keep says which lines are kept although judge gave an error.
	keep func(line string) bool
	// wanted is the pool's Deps.Keep.
	wanted func(*flow.Attribution, flow.Networks) bool
}

func (f *fake) Write(_ context.Context, lines store.Lines) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.sizes = append(f.calls, time.Now()), append(f.sizes, lines.Len())
	split := strings.SplitAfter(string(lines.Bytes()), "\n")
	split = split[:len(split)-1]
	if len(split) != lines.Len() {
		return errors.New("lines and newlines differ")
	}
	var err error
	if f.judge != nil {
		err = f.judge(split)
	}
	for _, line := range split {
		if err == nil || f.keep != nil && f.keep(line) {
			f.points[line] = true
		}
	}
	return err
}

func (f *fake) Check(context.Context) error { return nil }

func (f *fake) String() string { return "fake" }

// setup is a pool over a fake, with all that is around it.
type setup struct {
	*store.Pool
	fake    *fake
	dead    string // the file
	log     *logged
	ran     chan error
	mu      sync.Mutex
	stored  []*flow.Batch
	dropped []*flow.Batch
}

// logged keeps log lines.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), part)
}

func small() store.Config {
	cfg := store.DefaultConfig()
	cfg.Writers, cfg.Queue, cfg.Lines = 1, 10_000, 100
	return cfg
}

func newSetup(t *testing.T, cfg store.Config, f *fake, deadSize int64) *setup {
	t.Helper()
	f.points = make(map[string]bool)
	s := &setup{fake: f, dead: filepath.Join(t.TempDir(), "dead", "letters.lp"), log: &logged{}, ran: make(chan error, 1)}
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: s.dead, MaxSize: deadSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dead.Close() })
	s.Pool, err = store.NewPool(cfg, store.Deps{
		Writer: f, DeadLetters: dead, Log: slog.New(slog.NewTextHandler(s.log, nil)), Keep: f.wanted,
		Release: func(b *flow.Batch, o store.Outcome) {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch o {
			case store.Stored:
				s.stored = append(s.stored, b)
			case store.Dropped:
				s.dropped = append(s.dropped, b)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *setup) start() { go func() { s.ran <- s.Run(context.Background()) }() }

// finish drains within the time and checks that the sums agree.
func (s *setup) finish(t *testing.T, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := s.Drain(ctx)
	if ran := <-s.ran; ran != nil {
		t.Error(ran)
	}
	if pending := s.conserved(t); pending != (store.Count{}) {
		t.Errorf("%+v pending after the end", pending)
	}
	return err
}

// conserved checks the promise of store.Stats and gives what is pending.
func (s *setup) conserved(t *testing.T) store.Count {
	t.Helper()
	stats := s.Stats()
	sum := plus(stats.Written, stats.Pending, stats.Withheld)
	sum = plus(sum, plus(stats.DeadLettered[:]...))
	sum = plus(sum, plus(stats.Dropped[:]...))
	if sum != stats.Submitted {
		t.Errorf("submitted %+v, accounted for %+v: %+v", stats.Submitted, sum, stats)
	}
	return stats.Pending
}

func plus(counts ...store.Count) store.Count {
	var sum store.Count
	for _, c := range counts {
		sum = store.Count{
			Records: sum.Records + c.Records, Packets: sum.Packets + c.Packets, Bytes: sum.Bytes + c.Bytes, Rows: sum.Rows + c.Rows,
		}
	}
	return sum
}

func countOf(batches ...*flow.Batch) store.Count {
	var sum store.Count
	for _, b := range batches {
		for _, r := range b.Records {
			sum = plus(sum, store.Count{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
		}
	}
	return sum
}

// submit hands over batches of 20 records, each with its own time.
func (s *setup) submit(t *testing.T, batches int) []*flow.Batch {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(batches), 1))
	all := make([]*flow.Batch, batches)
	for i := range all {
		all[i] = batch(r, 20)
		all[i].Base = int64(1+i) * 1e9
		if err := s.Submit(all[i]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (s *setup) deadLines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(s.dead)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "# 2") { // the heads of letters begin with the year
			lines = append(lines, line)
		}
	}
	return lines
}
