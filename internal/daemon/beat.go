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

// Monitor tells which of its beats have stopped. Safe for concurrent use.
type Monitor struct {
	patience time.Duration
	now      func() time.Time

	mu    sync.Mutex // protects beats
	beats map[string]*watched
}

type watched struct {
	beat  *Beat
	turns uint64
	moved time.Time
}

// NewMonitor makes a monitor that calls a beat stalled once it has not moved for patience, as now tells the time (nil:
// time.Now, which carries the monotonic clock: a wall-clock step stalls nobody).
func NewMonitor(patience time.Duration, now func() time.Time) *Monitor {
	if now == nil {
		now = time.Now
	}
	return &Monitor{patience: patience, now: now, beats: make(map[string]*watched)}
}

// Watch adds a beat under a name, which it must not share with another. The worker counts as alive from now on.
func (m *Monitor) Watch(name string, b *Beat) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beats[name] = &watched{beat: b, turns: b.turns.Load(), moved: m.now()}
}

// Forget removes a beat: its worker ended by intention.
func (m *Monitor) Forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.beats, name)
}

// Stalled reads all beats and names those that have not moved for the monitor's patience, sorted.
func (m *Monitor) Stalled() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	var names []string
	for name, w := range m.beats {
		if turns := w.beat.turns.Load(); turns != w.turns {
			w.turns, w.moved = turns, now
		} else if now.Sub(w.moved) >= m.patience {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Healthy is the verdict behind /healthz: nil while every beat moves.
func (m *Monitor) Healthy() error {
	if names := m.Stalled(); len(names) > 0 {
		return errors.New("no progress: " + strings.Join(names, ", "))
	}
	return nil
}
