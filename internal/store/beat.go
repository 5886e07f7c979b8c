package store

import (
	"sync/atomic"
	"time"
)

// idleTick is how often a writer that waits says that it lives.
const idleTick = time.Second

// beat is one writer's sign of life. The writer's goroutine writes it, any reads it.
type beat struct {
	turns   atomic.Uint64
	working atomic.Int64 // since when a write is under way, as Pool.elapsed tells it; 0 while none is
}

// tick says that the writer goes on.
func (b *beat) tick() { b.turns.Add(1) }

// elapsed is a monotonic time, never 0.
func (p *Pool) elapsed() int64 { return int64(time.Since(p.made)) + 1 }

// work has a write count as progress for as long as one may take.
func (w *worker) work(do func() error) error {
	w.beat.working.Store(w.elapsed())
	defer w.beat.tick()
	defer w.beat.working.Store(0)
	return do()
}

// Turns moves as long as a writer works, waits for something to write or pauses after a failure; no longer, where one write takes
// more than Config.Longest. Any goroutine may ask.
func (p *Pool) Turns(writer int) uint64 {
	b := &p.beats[writer]
	turns := b.turns.Load()
	if since := b.working.Load(); since != 0 {
		if under := p.elapsed() - since; under < int64(p.cfg.Longest) {
			return turns + uint64(max(under, 0))
		}
	}
	return turns
}

// Writers is how many there are.
func (p *Pool) Writers() int { return len(p.beats) }
