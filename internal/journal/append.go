package journal

import (
	"context"
	"errors"
	"sync"
	"time"

	"flowsensor/internal/flow"
)

// Errors of Append: the batch stays with the caller.
var (
	// ErrFull says that the journal has no room now, or that too much waits for it.
	ErrFull = errors.New("journal is full")
	// ErrClosed says that the Appender drains.
	ErrClosed = errors.New("journal is closed")
	// ErrTooLarge says that the batch fits no message, or that its sensor's id is none.
	ErrTooLarge = errors.New("batch does not fit the journal")
)

// Appender puts batches into the journal. Journal.Appender makes one.
type Appender struct {
	j        *Journal
	done     func(*flow.Batch, Outcome)
	lanes    []*lane
	encoders sync.Pool // of *encoder
	finished chan struct{}
	counters appendCounters
}

// Appender makes an appender. done is called once for every batch that Append took, by one goroutine for each shard, so
// it must be safe for concurrent use and quick; a batch is the caller's again from then on.
func (j *Journal) Appender(done func(*flow.Batch, Outcome)) *Appender {
	a := &Appender{j: j, done: done, finished: make(chan struct{})}
	a.encoders.New = func() any { return newEncoder() }
	for i := range j.cfg.Shards {
		a.lanes = append(a.lanes, newLane(a, i))
	}
	return a
}

// Append takes b, or says why not. It never waits. A batch whose Body is empty is coded here.
func (a *Appender) Append(b *flow.Batch) error {
	v := flow.VolumeOf(b) // with success it is not ours to look at any more
	err := a.append(b)
	a.counters.count(v, err)
	return err
}

func (a *Appender) append(b *flow.Batch) error {
	l := a.lanes[shardOf(b.Sensor, len(a.lanes))]
	body := b.Body
	if len(body) == 0 {
		e := a.encoders.Get().(*encoder)
		defer a.encoders.Put(e) // after the body was copied
		var ok bool
		if body, ok = e.encode(b); !ok {
			return ErrTooLarge
		}
	}
	if len(body) > maxBody || b.Sensor == "" || len(b.Sensor) > maxSensor {
		return ErrTooLarge
	}
	return l.append(b, body)
}

// group is the batches of one message.
type group struct {
	message []byte
	batches []*flow.Batch
	since   time.Time // the first batch came
}

// lane is one shard on its way in. A goroutine of its own publishes its groups, one after the other: while one is being
// synced the next one fills.
type lane struct {
	*Appender
	subject string
	limit   int // of size

	wake chan struct{} // something is due sooner than the publisher thinks

	mu      sync.Mutex // protects what follows
	open    *group     // being filled; nil when empty
	waiting []*group   // full ones, oldest first
	spare   []*group   // used before
	size    int        // octets taken that are not settled
	blocked bool       // the journal has no room
	closed  bool
}

func newLane(a *Appender, shard int) *lane {
	return &lane{
		Appender: a, subject: subjectOf(shard), limit: a.j.cfg.Queue / a.j.cfg.Shards, wake: make(chan struct{}, 1),
	}
}

func (l *lane) append(b *flow.Batch, body []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case l.blocked || l.size+len(body) > l.limit:
		return ErrFull
	}
	if l.open == nil {
		l.open = l.empty()
		l.open.since = time.Now()
		l.nudge()
	}
	g := l.open
	before := len(g.message)
	g.message = appendEntry(g.message, b, body)
	g.batches = append(g.batches, b)
	l.size += len(g.message) - before
	if len(g.message) >= l.j.cfg.GroupBytes {
		l.waiting = append(l.waiting, g)
		l.open = nil
		l.nudge()
	}
	return nil
}

// empty gives a group without batches. Needs l.mu.
func (l *lane) empty() *group {
	if n := len(l.spare); n > 0 {
		g := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return g
	}
	return &group{message: appendHeader(make([]byte, 0, l.j.cfg.GroupBytes+4096))}
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// due gives the next group to publish, or how long to wait for it; nil and zero mean that there is none. When the lane is
// closed everything is due.
func (l *lane) due() (*group, time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 {
		g := l.waiting[0]
		l.waiting = append(l.waiting[:0], l.waiting[1:]...)
		return g, 0, false
	}
	if g := l.open; g != nil {
		wait := l.j.cfg.GroupAge - time.Since(g.since)
		if wait > 0 && !l.closed {
			return nil, wait, false
		}
		l.open = nil
		return g, 0, false
	}
	return nil, 0, l.closed
}

// next waits for a group; nil is the end.
func (l *lane) next(ctx context.Context) *group {
	for {
		g, wait, end := l.due()
		if g != nil || end {
			return g
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-l.wake:
		case <-due:
		case <-ctx.Done():
			return nil
		}
	}
}

// settle gives the batches of a group back.
func (l *lane) settle(g *group, outcome Outcome) {
	if outcome == Unknown {
		l.counters.unknown.Add(uint64(len(g.batches)))
	}
	for i, b := range g.batches {
		l.done(b, outcome)
		g.batches[i] = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size -= len(g.message) - headerLen
	g.batches, g.message = g.batches[:0], g.message[:headerLen]
	if len(l.spare) < 4 {
		l.spare = append(l.spare, g)
	}
}

// setBlocked says whether the journal has room.
func (l *lane) setBlocked(full fullness) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked = full == noRoom
}

// fullness is what the journal last said of its room.
type fullness uint8

const (
	_ fullness = iota
	room
	noRoom
)
