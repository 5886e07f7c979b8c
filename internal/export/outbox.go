package export

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// Bounds of acknowledged delivery.
const (
	maxUnacknowledged = 1024
	// maxWaiting batches may wait in memory for their first transmission; beyond it the sender takes no more from its
	// queue, which fills.
	maxWaiting = 2048
	// backlogAhead batches at most are loaded from the spool ahead of their transmission.
	backlogAhead = 128
	// backlogShare is the backlog's part of the pace while there is live traffic: one in so many.
	backlogShare = 4
	// troublePause is how long nothing is sent after the kernel refused a datagram, and after the first "full".
	troublePause = time.Second
	// probePause is the longest pause between probes.
	probePause = 5 * time.Second
)

// outbox keeps batches until they are acknowledged. It belongs to the sender's goroutine.
type outbox struct {
	*transmitter

	cfg    *Config
	log    *slog.Logger
	sealer func() *seal.Sealer
	split  func(*parcel) []*parcel // makes shorter ones of one that was never sent

	current *life
	lives   map[uint64]*life // by boot
	waiting []*parcel        // live, never sent, the oldest first
	backlog []*parcel        // loaded from the spool, with their numbers
	resends resends
	txs     map[uint64]*parcel // by the tx they went out under
	turn    int

	pace    pacer
	hold    time.Time     // nothing is sent before
	fullFor time.Duration // how long the last "full" held us
	heardAt time.Time     // when the last answer came
	quiet   time.Time     // since when nothing was answered that should have been; zero: nothing is
	told    uint64        // the highest tx that a temporary refusal was heeded for
	probe   prober

	spooler *spooler          // nil without a spool
	stored  map[int64]*parcel // in the spool and here too, by stamp
	early   map[int64]*parcel // sent in an earlier life and in the spool alone, by stamp
	loadAt  time.Time         // nothing is loaded before
	dels    []int64           // to be taken out of the spool
	writing []*parcel         // never sent, on their way to the spool
	cursor  int64             // stamps up to it were loaded from the spool
	onDisk  int               // batches in the spool alone, as far as known
	failing bool              // the last job failed
	retryAt time.Time         // after a failed job
}

func newOutbox(cfg *Config, t *transmitter, boot uint64, log *slog.Logger) *outbox {
	now := time.Now()
	o := &outbox{
		transmitter: t, cfg: cfg, log: log, current: newLife(boot), lives: make(map[uint64]*life),
		txs: make(map[uint64]*parcel), stored: make(map[int64]*parcel), early: make(map[int64]*parcel), pace: newPacer(now), heardAt: now, cursor: -1,
	}
	o.lives[boot] = o.current
	return o
}

// offer takes a new batch.
func (o *outbox) offer(p *parcel) {
	p.index, p.made = -1, time.Now()
	o.waiting = append(o.waiting, p)
}

// crowded reports whether so many wait that no more should be offered until some have left.
func (o *outbox) crowded() bool { return len(o.waiting) >= maxWaiting }

// inFlight is how many batches have a seq and are in memory.
func (o *outbox) inFlight() int { return len(o.current.flight) }

// room is how many batches may have a first transmission now.
func (o *outbox) room() int {
	if o.current.next-o.current.floor() >= wire.MaxOutstanding {
		return 0
	}
	span := wire.MaxOutstanding - int(o.current.next-o.current.floor())
	return max(min(maxUnacknowledged-o.inFlight(), span), 0)
}

// liveRoom leaves the backlog its share of the room, where there is one.
func (o *outbox) liveRoom() int {
	if o.onDisk+len(o.backlog) == 0 {
		return o.room()
	}
	return o.room() - maxUnacknowledged/backlogShare
}

// pump sends what may be sent now: what is due again, then live batches, then the backlog, which has its share in any case.
func (o *outbox) pump(ctx context.Context, now time.Time) {
	for o.link.leads() && ctx.Err() == nil && !now.Before(o.hold) && o.pace.take(now) {
		if !o.next(ctx, now) {
			o.pace.giveBack()
			return
		}
	}
}

// next sends one batch, and reports whether there may be more.
func (o *outbox) next(ctx context.Context, now time.Time) bool {
	o.turn++
	switch {
	case len(o.backlog) > 0 && o.turn%backlogShare == 0:
		return o.sendBacklog(ctx, now)
	case len(o.resends) > 0 && !o.resends[0].due.After(now):
		p := o.resends[0]
		o.pace.slower(now)
		o.counters.resends.Add(1)
		return o.send(ctx, p, now)
	case len(o.waiting) > 0 && o.liveRoom() > 0:
		return o.sendLive(ctx, now)
	case len(o.backlog) > 0:
		return o.sendBacklog(ctx, now)
	default:
		return false
	}
}

func (o *outbox) sendBacklog(ctx context.Context, now time.Time) bool {
	p := o.backlog[0]
	if p.gone {
		o.backlog = o.backlog[1:]
		return true
	}
	if !o.send(ctx, p, now) {
		return false
	}
	o.backlog = o.backlog[1:]
	return true
}

func (o *outbox) sendLive(ctx context.Context, now time.Time) bool {
	p := o.waiting[0]
	o.current.keep(p, o.current.next)
	err := o.put1(ctx, p, now)
	if err == nil {
		o.waiting[0] = nil
		o.waiting = o.waiting[1:]
		return true
	}
	// It never left, so its number is free again.
	delete(o.current.flight, p.seq)
	o.current.next = p.seq
	p.life, p.seq = nil, 0
	if !errors.Is(err, errTooBig) {
		o.trouble(err, now)
		return false
	}
	o.counters.tooBig.Add(1)
	parts := o.split(p)
	if len(parts) == 1 && len(parts[0].body) >= len(p.body) {
		o.trouble(err, now) // the path says neither yes nor how much
	}
	o.waiting = append(parts, o.waiting[1:]...)
	return true
}

// send sends a batch that has its number; one that was sent before goes in fragments where the path has become narrow.
func (o *outbox) send(ctx context.Context, p *parcel, now time.Time) bool {
	err := o.put1(ctx, p, now)
	if errors.Is(err, errTooBig) {
		err = o.link.fragments(unix.IP_PMTUDISC_DONT)
		if err == nil {
			err = o.put1(ctx, p, now)
		}
		_ = o.link.fragments(unix.IP_PMTUDISC_DO)
	}
	if err != nil {
		o.trouble(err, now)
		return false
	}
	return true
}

// put1 transmits a batch once, and has it sent again when no answer comes.
func (o *outbox) put1(ctx context.Context, p *parcel, now time.Time) error {
	numbers := wire.Numbers{Boot: p.life.boot, Seq: p.seq, Floor: p.life.floor(), Base: p.base}
	if _, err := o.transmit(ctx, o.sealer(), &batch{p.kind, p.body, p.sum, &numbers}); err != nil {
		return err
	}
	if p.first.IsZero() {
		p.first = now
		if p.life == o.current { // one of an earlier life was counted there
			o.counters.sent.add(p.sum)
		}
	}
	if o.heardAt.After(p.last) {
		p.sends = 0 // the pauses grow while nobody answers; what is lost beside answers is a matter of the pace
	}
	p.last = now
	if o.quiet.IsZero() {
		o.quiet = now
	}
	wait := min(o.cfg.ResendAfter<<min(p.sends, 16), o.cfg.ResendMost)
	p.sends++
	p.due = now.Add(wait + rand.N(wait/4+1))
	if p.index < 0 {
		heap.Push(&o.resends, p)
	} else {
		heap.Fix(&o.resends, p.index)
	}
	tx := o.header.TX
	if len(p.txs) == keepTXs {
		delete(o.txs, p.txs[0])
		p.txs = p.txs[1:]
	}
	p.txs = append(p.txs, tx)
	o.txs[tx] = p
	return nil
}

// trouble holds everything back for a while: nothing is lost by it.
func (o *outbox) trouble(err error, now time.Time) {
	o.counters.fail(err)
	o.hold = now.Add(troublePause)
}

// hurry has all that is unacknowledged sent again soon: somebody is there again to hear it.
func (o *outbox) hurry(now time.Time) {
	for _, p := range o.resends {
		p.due, p.sends = now, 0
	}
	heap.Init(&o.resends)
}

// forget ends the keeping of a batch: acknowledged, or dropped.
func (o *outbox) forget(p *parcel) {
	p.gone = true
	if p.life != nil && p.life.flight[p.seq] == p {
		delete(p.life.flight, p.seq)
		if p.life != o.current && len(p.life.flight) == 0 {
			delete(o.lives, p.life.boot)
		}
	}
	if p.index >= 0 {
		heap.Remove(&o.resends, p.index)
	}
	for _, tx := range p.txs {
		delete(o.txs, tx)
	}
	p.txs = nil
	if p.stored {
		o.dels = append(o.dels, p.base)
		delete(o.stored, p.base)
		delete(o.early, p.base)
	}
}

// drop gives a batch up.
func (o *outbox) drop(p *parcel, reason Reason) {
	o.forget(p)
	o.counters.dropped[reason].add(p.sum)
}

// settled reports whether everything live was acknowledged; what the spool alone has can wait.
func (o *outbox) settled() bool {
	return len(o.waiting) == 0 && len(o.writing) == 0 && len(o.resends) == 0
}

// publish makes the gauges.
func (o *outbox) publish() {
	c := o.counters
	c.inFlight.Store(int64(len(o.resends)))
	c.waiting.Store(int64(len(o.waiting) + len(o.writing)))
	c.backlog.Store(int64(o.onDisk + len(o.backlog)))
	c.rate.Store(int64(o.pace.rate))
	c.held.Store(o.hold.After(time.Now()) || o.probe.skewed || !o.link.leads())
}
