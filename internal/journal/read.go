package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"flowsensor/internal/flow"
)

// Reader hands what stands in the journal on, and takes it out of the journal once it is stored. Journal.Reader makes
// one.
type Reader struct {
	j        *Journal
	submit   func(*flow.Batch) error
	name     string // of this process, as the holder of leases
	room     *semaphore.Weighted
	batches  sync.Pool // of *flow.Batch
	counters readCounters
	finished chan struct{}
	gather   func(shard int) Gatherer // nil where nothing is gathered
	stop     context.CancelFunc       // no more messages are read
	stopping context.Context
	draining chan struct{} // closed when nothing more is to be waited for

	mu       sync.Mutex // protects what follows
	held     map[*flow.Batch]holding
	inFlight int
	sizes    map[int]int // of the checkpoints that were written, by shard
	longest  int64       // message that the server takes
}

// holding is what was handed on and is not settled.
type holding struct {
	flight *flight
	volume flow.Volume
	weight int64
}

// weightOf is a batch's part of Config.InFlight: no less than the points that it may become.
func weightOf(b *flow.Batch) int64 { return int64(len(b.Records) + len(b.Readings) + len(b.Answers)) }

// Reader makes a reader. submit hands a batch on; it is called by one goroutine for each shard, must not block for long,
// and its error ends the session, so that the batch comes again. Each batch that it took must come back by Stored or
// Unstored, once. No more than Config.InFlight records, readings and answers are out at a time, so a submit with room for
// these refuses none.
func (j *Journal) Reader(submit func(*flow.Batch) error) *Reader {
	r := &Reader{
		j: j, submit: submit, name: rand.Text(), room: semaphore.NewWeighted(int64(j.cfg.InFlight)),
		held: make(map[*flow.Batch]holding), sizes: make(map[int]int), finished: make(chan struct{}), draining: make(chan struct{}),
	}
	r.batches.New = func() any { return new(flow.Batch) }
	r.stopping, r.stop = context.WithCancel(context.Background())
	return r
}

// Run reads until Drain is through or ctx ends; what is then not settled stays in the journal.
func (r *Reader) Run(ctx context.Context) error {
	defer close(r.finished)
	defer r.stop()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.stopping, cancel)()
	if err := r.j.wait(waiting); err != nil {
		return nil // the end came first
	}
	var shards sync.WaitGroup
	for _, shard := range r.shards(ctx) {
		shards.Go(func() { r.write(ctx, shard) })
	}
	shards.Wait()
	return nil
}

// shards are the configured ones, and those beyond that an earlier configuration left messages in.
func (r *Reader) shards(ctx context.Context) []int {
	var all []int
	for i := range r.j.cfg.Shards {
		all = append(all, i)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := r.j.store.Load().stream.Info(ctx, jetstream.WithSubjectFilter(subjects))
	if err != nil {
		r.j.log.Warn("the journal's subjects cannot be listed; those of an earlier number of shards may wait", "error", err)
		return all
	}
	for subject := range info.State.Subjects {
		n, err := strconv.Atoi(strings.TrimPrefix(subject, subjectPrefix))
		if err == nil && n >= r.j.cfg.Shards {
			all = append(all, n)
		}
	}
	return all
}

// Drain reads what stands in an embedded journal, ends windows early, waits until all that was handed on is settled, and
// ends Run. When ctx ends first, what is left stays in the journal, which is the error. It is called once.
func (r *Reader) Drain(ctx context.Context) error {
	close(r.draining)
	if r.j.server != nil {
		r.empty(ctx)
	}
	r.stop()
	select {
	case <-r.finished:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("journal: %d records are not stored yet and stay in the journal", r.Stats().InFlight)
	}
}

// empty waits until nothing stands in the journal.
func (r *Reader) empty(ctx context.Context) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := r.j.look(ctx)
		if s := r.j.state.Load(); err == nil && s.messages == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-r.finished:
			return
		case <-ctx.Done():
			return
		}
	}
}

// write is one shard: waiting for the lease, writing while it is held, and again.
func (r *Reader) write(ctx context.Context, shard int) {
	trouble := trouble{log: r.j.log.With("subject", subjectOf(shard))}
	l := lease{key: "lease." + strconv.Itoa(shard), ttl: r.j.cfg.LeaseTTL, alone: r.j.server != nil}
	for r.stopping.Err() == nil && ctx.Err() == nil {
		err := r.turn(ctx, shard, &l, func() { trouble.is(nil, writeTrouble, writeEnd) })
		if ctx.Err() != nil {
			return
		}
		r.j.askRepair(err)
		pause := r.j.cfg.LeaseTTL / 3
		if errors.Is(err, errGap) {
			continue
		}
		if errors.Is(err, errLeaseHeld) {
			err = nil
		}
		trouble.is(err, writeTrouble, writeEnd)
		select {
		case <-time.After(pause):
		case <-r.stopping.Done():
		case <-ctx.Done():
		}
	}
}

const (
	writeTrouble = "a shard of the journal is not written; trying again"
	writeEnd     = "a shard of the journal is written again"
)

// turn tries to get the lease and writes as long as it is held; begun is called when the first message may come. errLeaseHeld
// says that another is writing.
func (r *Reader) turn(ctx context.Context, shard int, l *lease, begun func()) error {
	store := r.j.store.Load()
	l.bucket, l.owner = store.bucket, r.name
	calling, cancel := context.WithTimeout(ctx, callTimeout)
	err := l.take(calling)
	cancel()
	if err != nil {
		return err
	}
	number := r.counters.sessions.Add(1)
	r.counters.active.Add(1)
	defer r.counters.active.Add(^uint64(0))
	r.j.log.Info("this process writes a shard of the journal", "subject", subjectOf(shard))

	living, end := context.WithCancelCause(ctx)
	s := newSession(r, store, shard, r.name+"-"+strconv.FormatUint(number, 10))
	s.fail, s.begun = end, begun
	var keeper sync.WaitGroup
	kept, letGo := context.WithCancel(living)
	keeper.Go(func() {
		if err := l.keep(kept); err != nil {
			end(err)
		}
	})
	err = s.run(living)
	if cause := context.Cause(living); cause != nil && ctx.Err() == nil {
		err = cause
	}
	end(nil)
	letGo()
	keeper.Wait()
	if errors.Is(err, errFenced) || errors.Is(err, errLeaseLost) {
		r.counters.fenced.Add(1)
	} else {
		l.release()
	}
	return err
}

// hand gives one batch to the next stage, when there is room.
func (r *Reader) hand(ctx context.Context, f *flight, b *flow.Batch) error {
	h := holding{flight: f, volume: flow.VolumeOf(b), weight: min(weightOf(b), int64(r.j.cfg.InFlight))}
	if err := r.room.Acquire(ctx, h.weight); err != nil {
		return err
	}
	r.mu.Lock()
	r.held[b] = h
	r.inFlight += len(b.Records)
	r.mu.Unlock()
	if err := r.submit(b); err != nil {
		r.unhold(b)
		return fmt.Errorf("hand on a batch: %w", err)
	}
	r.counters.submitted.Add(h.volume)
	return nil
}

// unhold forgets a batch that was handed on.
func (r *Reader) unhold(b *flow.Batch) holding {
	r.mu.Lock()
	h, known := r.held[b]
	delete(r.held, b)
	if known {
		r.inFlight -= len(b.Records)
	}
	r.mu.Unlock()
	if known {
		r.room.Release(h.weight)
	}
	return h
}

// Stored gives a batch back whose rows are all durable. The batch is the Reader's again.
func (r *Reader) Stored(b *flow.Batch) {
	h := r.unhold(b)
	if h.flight == nil {
		return
	}
	r.counters.stored.Add(h.volume)
	r.batches.Put(b)
	h.flight.session.settled(h.flight)
}

// Unstored gives a batch back of which a row may not be durable. The session ends, and what it had not settled stays in
// the journal.
func (r *Reader) Unstored(b *flow.Batch) {
	h := r.unhold(b)
	if h.flight == nil {
		return
	}
	r.batches.Put(b)
	h.flight.session.fail(errUnstored)
}

// sized notes how long a shard's checkpoint is, of how much the server takes.
func (r *Reader) sized(shard, octets int, longest int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes[shard], r.longest = octets, longest
}

// Stats is a copy.
func (r *Reader) Stats() ReadStats {
	c := &r.counters
	r.mu.Lock()
	inFlight, size, longest := r.inFlight, 0, r.longest
	for _, n := range r.sizes {
		size = max(size, n)
	}
	r.mu.Unlock()
	return ReadStats{
		CheckpointBytes: uint64(size), CheckpointMax: uint64(longest),
		Submitted: c.submitted.Load(), Stored: c.stored.Load(), Duplicates: c.duplicates.Load(), Messages: c.messages.Load(),
		Redelivered: c.redelivered.Load(), Checkpoints: c.checkpoints.Load(), Sessions: c.sessions.Load(),
		Fenced: c.fenced.Load(), Unreadable: c.unreadable.Load(), Windows: c.windows.Load(), Changed: c.changed.Load(), Active: int(c.active.Load()), InFlight: inFlight,
	}
}
