package daemon

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Beat is one worker's sign of life: it calls Tick on every turn of its loop, an idle turn included. One goroutine
// ticks; anyone may read. The zero value is ready. Padded to a cache line of its own, so that workers' beats do not share one.
type Beat struct {
	turns atomic.Uint64
	_     [56]byte
}

// Tick counts one turn. It costs one uncontended store.
func (b *Beat) Tick() { b.turns.Add(1) }

// Turns is how often Tick was called. Any goroutine may ask.
func (b *Beat) Turns() uint64 { return b.turns.Load() }

// Monitor tells which of its workers have stopped. Safe for concurrent use.
type Monitor struct {
	patience time.Duration
	now      func() time.Time

	mu      sync.Mutex // protects workers
	workers map[string]*watched
}

type watched struct {
	turns func() uint64
	last  uint64
	moved time.Time
}

// NewMonitor makes a monitor that calls a worker stalled once its turns have not moved for patience, as now tells the time (nil:
// time.Now, which carries the monotonic clock: a wall-clock step stalls nobody).
func NewMonitor(patience time.Duration, now func() time.Time) *Monitor {
	if now == nil {
		now = time.Now
	}
	return &Monitor{patience: patience, now: now, workers: make(map[string]*watched)}
}

// Watch adds a worker under a name, which it must not share with another. turns, such as Beat.Turns, moves as long as the
// worker lives, and may be called by any goroutine. The worker counts as alive from now on.
func (m *Monitor) Watch(name string, turns func() uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers[name] = &watched{turns: turns, last: turns(), moved: m.now()}
}

// Forget removes a worker: it ended by intention.
func (m *Monitor) Forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.workers, name)
}

// Stalled looks at all workers and names those that have not moved for the monitor's patience, sorted.
func (m *Monitor) Stalled() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	var names []string
	for name, w := range m.workers {
		if turns := w.turns(); turns != w.last {
			w.last, w.moved = turns, now
		} else if now.Sub(w.moved) >= m.patience {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Healthy is the verdict behind /healthz: nil while every worker moves.
func (m *Monitor) Healthy() error {
	if names := m.Stalled(); len(names) > 0 {
		return errors.New("no progress: " + strings.Join(names, ", "))
	}
	return nil
}
