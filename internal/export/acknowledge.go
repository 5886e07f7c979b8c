package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/seal"
)

// How often the outbox looks for what is due: while something waits for its turn, while there are only answers to wait for, and
// while there is nothing. Each tick wakes an idle process, and Go's scheduler with it.
const (
	tickEvery   = 20 * time.Millisecond
	tickAnswers = 100 * time.Millisecond
	tickIdle    = 500 * time.Millisecond
)

// silence is how long the end waits for a collector that says nothing, where a spool keeps what it does not take.
const silence = 3 * time.Second

// acknowledged sets up what acknowledged delivery needs.
func (s *Sender) acknowledged(boot uint64) (err error) {
	opener, err := newAnswerOpener(s.cfg.ID, s.key)
	if err != nil {
		return fmt.Errorf("answers: %w", err)
	}
	s.answers.Store(opener)
	s.heard = make(chan heard, 64)
	p := &s.packer
	if p.out, err = openOutbox(&s.cfg, &p.transmitter, boot, s.log); err != nil {
		return err
	}
	p.out.sealer, p.out.split = func() *seal.Sealer { return p.sealer.Load() }, p.split
	return nil
}

// listen has the answers read that come to a link; closing the link ends that.
func (s *Sender) listen(l *link) {
	if s.packer.out == nil || !l.leads() {
		return
	}
	l.listened = make(chan struct{})
	go (&listener{link: l, id: s.cfg.ID, opener: s.answers.Load, counters: &s.counters, out: s.heard}).run()
}

// full is the queue, unless the outbox has enough: then the queue fills.
func (s *Sender) full() <-chan *chunk {
	if out := s.packer.out; out != nil && out.crowded() {
		return nil
	}
	return s.queue.full
}

func (s *Sender) results() <-chan *spoolResult {
	if s.packer.out == nil {
		return nil
	}
	return s.packer.out.results()
}

// ticks drive the outbox; without one they stand still.
type ticks struct {
	*time.Ticker

	out   *outbox
	every time.Duration
}

func (s *Sender) ticks() *ticks {
	t := &ticks{Ticker: time.NewTicker(tickEvery), out: s.packer.out, every: tickEvery}
	if t.out == nil {
		t.Stop()
	}
	return t
}

// adapt goes with what the outbox has to do. The sender calls it after everything that may have changed that.
func (t *ticks) adapt() {
	if t.out == nil {
		return
	}
	every := tickEvery
	switch {
	case t.out.busy():
	case t.out.awaiting():
		every = max(min(tickAnswers, t.out.cfg.ResendAfter/10), tickEvery)
	default:
		every = tickIdle
	}
	if every != t.every {
		t.every = every
		t.Reset(every)
	}
}

// busy reports whether there is something to do before an answer comes or a resend is due.
func (o *outbox) busy() bool {
	return len(o.waiting)+len(o.writing)+len(o.backlog)+o.onDisk > 0
}

// awaiting reports whether there is something to do later: to send it again, or to take it out of the spool.
func (o *outbox) awaiting() bool {
	return len(o.resends)+len(o.dels) > 0 || o.probe.skewed || o.probe.out
}

// turn sends what is due and has spooled what is old.
func (s *Sender) turn(ctx context.Context, now time.Time) {
	out := s.packer.out
	out.ask(now)
	out.pump(ctx, now)
	out.age(now)
	if out.silent(now) {
		s.counters.failovers.Add(1)
		s.log.Warn("the collector does not answer, the next one is tried", "remote", s.packer.link.Remote)
		select {
		case s.resolver.kick <- struct{}{}:
		default: // the resolver has not come round to the last one yet
		}
	}
	out.publish()
}

// hear takes what the listener has.
func (s *Sender) hear(ctx context.Context, h heard) {
	now := time.Now()
	if h.err != nil {
		if errors.Is(h.err, unix.EMSGSIZE) {
			s.packer.link.forgetErrors() // the next datagram meets it too, and is made shorter
			return
		}
		s.packer.note(h.err)
		return
	}
	s.packer.out.heed(h.answer, now)
	s.packer.out.pump(ctx, now)
	s.packer.out.publish()
}

// silent reports whether it is time to try another collector.
func (o *outbox) silent(now time.Time) bool {
	if !o.silentFor(o.cfg.FailoverAfter, now) {
		return false
	}
	o.quiet = now
	return true
}

// silentFor reports whether nothing was answered for so long, where there are other collectors.
func (o *outbox) silentFor(d time.Duration, now time.Time) bool {
	return len(o.cfg.Standby) > 0 && !o.quiet.IsZero() && now.Sub(o.quiet) >= d
}

// moved starts anew with another link.
func (o *outbox) moved(now time.Time) {
	o.hold, o.fullFor = time.Time{}, 0
	o.hurry(now)
}

// drainAcknowledged sends what the Batchers still hand over, until everything is acknowledged, ctx ends, or a collector
// is silent for long and there is a spool to keep the rest.
func (s *Sender) drainAcknowledged(ctx context.Context) {
	tick := s.ticks()
	defer tick.Stop()
	p, q := &s.packer, s.queue
	began := time.Now()
	for {
		s.counters.turns.Add(1)
		// Asked before the queue is seen empty: a Batcher hands over, then closes.
		last := q.open.Load() == 0 && len(q.full) == 0 && len(s.reports) == 0
		if last {
			p.ship(ctx)
			if p.out.settled() || p.out.hopeless(began) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case c := <-s.full():
			p.pack(ctx, c)
			q.recycle(c)
		case <-q.bye:
		case readings := <-s.reports:
			p.report(ctx, readings)
		case now := <-tick.C:
			s.turn(ctx, now)
		case h := <-s.heard:
			s.hear(ctx, h)
		case r := <-s.results():
			p.out.did(r, time.Now())
		}
	}
}

// hopeless reports whether the spool is the better place for what is left.
func (o *outbox) hopeless(began time.Time) bool {
	if o.spooler == nil {
		return false
	}
	now := time.Now()
	return o.probe.skewed || !o.link.leads() || now.Sub(began) > silence && now.Sub(o.heardAt) > silence
}
