package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"flowsensor/internal/flow"
)

// Errors of Submit. The batch stays with the caller, its records are counted as dropped.
var (
	ErrFull   = errors.New("store queue is full")
	ErrClosed = errors.New("store is closed")
)

// Deps are what a pool works with. All but Release and Now must be set.
type Deps struct {
	Writer      Writer
	DeadLetters *DeadLetters
	// Release gives a batch back, once for every one that was submitted with success; called by the writer goroutines,
	// so it must be safe for concurrent use and quick.
	Release func(*flow.Batch, Outcome)
	// Keep says which attributed records are written as points of their own; all when nil. What a rule discards is not.
	Keep func(*flow.Attribution, flow.Networks) bool
	Log  *slog.Logger
	// Now is the clock of statistics and log lines; time.Now when nil.
	Now func() time.Time
}

// Pool is a bounded queue of batches and the goroutines that write them. Submit and Stats are safe for concurrent use; Run
// and Drain are called once each.
type Pool struct {
	cfg     Config
	writer  Writer
	dead    *DeadLetters
	release func(*flow.Batch, Outcome)
	keep    func(*flow.Attribution, flow.Networks) bool
	log     *slog.Logger
	now     func() time.Time
	health  *health

	queue    chan *flow.Batch // closed by closeQueue alone, under mu
	collect  chan struct{}    // holds a token: one writer at a time takes batches, so that chunks are full
	lineSize atomic.Int64     // of late, to guess a chunk's bytes before encoding
	rowing   atomic.Int64     // calls of WriteRows so far
	accepted atomic.Uint64    // writes that succeeded: the evidence against doubtful refusals

	done  chan struct{} // closed when Run returns
	beats []beat        // by writer
	made  time.Time

	mu      sync.Mutex // protects what follows, and Submit against closeQueue
	closed  bool
	running bool
	abort   context.CancelFunc // set once running
	stats   Stats
}

// NewPool makes a pool that takes batches at once and writes once Run is called.
func NewPool(cfg Config, d Deps) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if d.Writer == nil || d.DeadLetters == nil || d.Log == nil {
		return nil, errors.New("store: a pool needs a writer, dead letters and a log")
	}
	p := &Pool{
		cfg: cfg, writer: d.Writer, dead: d.DeadLetters, release: d.Release, keep: d.Keep, log: d.Log.With("store", d.Writer.String()), now: d.Now,
		queue: make(chan *flow.Batch, cfg.Queue), collect: make(chan struct{}, 1), done: make(chan struct{}), beats: make([]beat, cfg.Writers),
		made: time.Now(),
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.release == nil {
		p.release = func(*flow.Batch, Outcome) {}
	}
	if p.keep == nil {
		p.keep = func(*flow.Attribution, flow.Networks) bool { return true }
	}
	p.health = newHealth(p.log, p.now)
	p.lineSize.Store(300)
	return p, nil
}

// Submit hands b over, or returns ErrFull or ErrClosed and counts its records as dropped. It never blocks.
func (p *Pool) Submit(b *flow.Batch) error {
	c := countOf(b)
	if c.points() == 0 {
		p.release(b, Stored)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Submitted.add(c)
	if p.closed {
		p.stats.Dropped[DropClosed].add(c)
		return ErrClosed
	}
	if p.stats.Pending.points()+c.points() > uint64(p.cfg.Queue) {
		p.stats.Dropped[DropQueueFull].add(c)
		return ErrFull
	}
	p.stats.Pending.add(c)
	p.queue <- b // has room: no more than Queue points are pending, and every batch holds one
	return nil
}

// Run writes until Drain has emptied the queue or ctx ends. What is then left is counted as dropped.
func (p *Pool) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !p.start(cancel) {
		return errors.New("store: pool runs already or is drained")
	}
	defer close(p.done)

	var writers, check sync.WaitGroup
	check.Go(func() { p.check(ctx) })
	for i := range p.cfg.Writers {
		writers.Go(func() { newWorker(p, i, &p.beats[i]).run(ctx) })
	}
	writers.Wait()
	cancel()
	check.Wait()
	p.closeQueue()
	p.dropQueued()
	return nil
}

// check says early what the first write would only say later.
func (p *Pool) check(ctx context.Context) {
	err := p.writer.Check(ctx)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		p.log.Info("flows can be stored")
		return
	}
	e := classify(err)
	p.log.Warn("flows cannot be stored yet; they wait in the queue", "error", e, "class", e.Class, "remedy", e.Remedy)
}

// Drain refuses further batches and returns once Run has settled all that was submitted, or when ctx ends: then writing
// is broken off and the rest counted as dropped, which is the error.
func (p *Pool) Drain(ctx context.Context) error {
	p.closeQueue()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.breakOff()
	}
	if lost := p.Stats().Dropped[DropShutdown]; lost.Records > 0 {
		return fmt.Errorf("store: %d records (%d packets, %d bytes) could not be written before the end", lost.Records, lost.Packets, lost.Bytes)
	}
	return nil
}

// start reports whether the pool was not started before.
func (p *Pool) start(abort context.CancelFunc) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return false
	}
	p.running, p.abort = true, abort
	return true
}

// breakOff ends Run, or keeps it from ever starting, and returns once everything is settled.
func (p *Pool) breakOff() {
	if p.start(func() {}) {
		p.dropQueued()
		close(p.done)
		return
	}
	p.mu.Lock()
	abort := p.abort
	p.mu.Unlock()
	abort()
	<-p.done
}

func (p *Pool) closeQueue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.queue)
	}
}

// dropQueued needs the queue closed and no writer running.
func (p *Pool) dropQueued() {
	for b := range p.queue {
		p.settle(&p.stats.Dropped[DropShutdown], countOf(b))
		p.release(b, Dropped)
	}
}
