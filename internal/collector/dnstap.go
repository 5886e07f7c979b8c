package collector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/dnstap"
	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
	"flowsensor/internal/metrics"
)

const (
	// dnstapBatch is how many answers go into the journal together.
	dnstapBatch = 256
	// dnstapAge is how long one waits for others.
	dnstapAge = 200 * time.Millisecond
)

// dnstapFeed puts the answers that DNS servers tell of into the journal, as batches of a sensor that is this collector.
type dnstapFeed struct {
	server *dnstap.Server
	submit func(*flow.Batch) error // takes a batch for good, or does not

	appended, full, unfit, limited atomic.Uint64 // answers

	started time.Time

	mu       sync.Mutex // protects what follows
	next     reporter
	failures dnsmsg.FailureLimit
	waiting  []flow.DNSAnswer
}

func newDnstapFeed(c Config, submit func(*flow.Batch) error, log *slog.Logger) (*dnstapFeed, error) {
	server, err := dnstap.Listen(c.Dnstap.Listen, log)
	if err != nil {
		return nil, err
	}
	return &dnstapFeed{
		server: server, submit: submit, started: time.Now(), next: reporter{name: dnstapMark + c.name(), boot: uint64(time.Now().UnixNano())},
		failures: dnsmsg.FailureLimit{PerSecond: c.Dnstap.MaxFailures},
	}, nil
}

// run takes answers until ctx ends; when it returns all that came are in the journal, or counted.
func (f *dnstapFeed) run(ctx context.Context) error {
	ticking, stop := context.WithCancel(context.WithoutCancel(ctx))
	var ticker sync.WaitGroup
	ticker.Go(func() { f.flushing(ticking) })
	err := f.server.Run(ctx, f.take)
	stop()
	ticker.Wait()
	f.flush()
	return err
}

func (f *dnstapFeed) flushing(ctx context.Context) {
	tick := time.NewTicker(dnstapAge)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.flush()
		}
	}
}

// take is called by the connections.
func (f *dnstapFeed) take(a *flow.DNSAnswer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.failures.Pass(a, int64(time.Since(f.started))) { // their own times are those of several servers, in no order
		f.limited.Add(1)
		return
	}
	f.waiting = append(f.waiting, *a)
	if len(f.waiting) >= dnstapBatch {
		f.flushLocked()
	}
}

func (f *dnstapFeed) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushLocked()
}

// flushLocked hands over what waits.
func (f *dnstapFeed) flushLocked() {
	if len(f.waiting) > 0 {
		f.hand(f.waiting)
		f.waiting = nil
	}
}

// hand makes a batch of answers, or several where they are too long for one. The batch is the journal's then, with its memory;
// where that has no room, the answers are lost: nobody could send them again.
func (f *dnstapFeed) hand(answers []flow.DNSAnswer) {
	n := len(answers)
	switch err := f.submit(f.next.answers(answers, time.Now())); {
	case err == nil:
		f.appended.Add(uint64(n))
	case errors.Is(err, journal.ErrTooLarge) && n > 1:
		f.hand(answers[: n/2 : n/2])
		f.hand(answers[n/2:])
	case errors.Is(err, journal.ErrTooLarge):
		f.unfit.Add(1)
	default:
		f.full.Add(uint64(n))
	}
}

func (f *dnstapFeed) read(put metrics.Put) {
	st := f.server.Stats()
	put("dnstap_connections", float64(st.Connections))
	put("dnstap_connections_total", float64(st.Accepted))
	put("dnstap_frames_total", float64(st.Frames))
	for reason, n := range st.Refused {
		put("dnstap_refused_total", float64(n), dnstap.Reason(reason).String())
	}
	for reason, n := range st.Messages.Messages {
		put("dnstap_messages_total", float64(n), dnsmsg.Reason(reason).String())
	}
	put("dnstap_answers_total", float64(f.appended.Load()))
	put("dnstap_dropped_answers_total", float64(f.full.Load()), "journal_full")
	put("dnstap_dropped_answers_total", float64(f.unfit.Load()), "too_large")
	put("dnstap_dropped_answers_total", float64(f.limited.Load()), "failure_limited")
}
