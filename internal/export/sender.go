package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// How often the sender looks after itself, and after the path's MTU, which the kernel forgets after ten minutes (ip(7),
// mtu_expires).
const (
	checkEvery = time.Second
	refitEvery = time.Minute
)

// ErrBusy is the answer to Run or Drain while one of them is at work.
var ErrBusy = errors.New("export: the sender is running already")

var errClock = errors.New("the clock shows a time before 1970: set it first")

// Sender sends the records of its Batchers to the collector. See the package comment for who calls what when.
type Sender struct {
	cfg      Config
	log      *slog.Logger
	queue    *queue
	counters counters
	resolver *resolver
	health   *health
	drops    dropLog
	packer   packer // of whoever holds busy
	busy     chan struct{}
	ends     atomic.Pointer[Endpoints]
	heard    chan heard                  // what the link's listener has
	reports  chan []flow.Reading         // of Report
	answers  atomic.Pointer[seal.Opener] // of the keys that answers come under
	keys     sync.Mutex                  // held while the keys change
	key      seal.Key                    // protected by keys
	close    sync.Once
	closeErr error
}

// NewSender opens the state file and the socket, so that LocalAddr is known before capture starts; it looks the
// collector's name up and may take seconds for that. With an error nothing stays open. The caller closes the Sender.
func NewSender(cfg Config, log *slog.Logger) (_ *Sender, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	sealer, err := seal.NewSealer(cfg.ID, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	s := &Sender{cfg: cfg, log: log, queue: newQueue(cfg.Queue), busy: make(chan struct{}, 1), reports: make(chan []flow.Reading, 2)}
	if s.resolver, err = newResolver(&s.cfg, &s.counters, log); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	s.health = &health{log: log, kick: s.resolver.kick, maxKick: max(cfg.ResolveInterval, troubleLasts)}
	s.drops = dropLog{log: log, counters: &s.counters}

	boot, stamps, err := openStamps(&cfg, log)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	l, err := s.resolver.begin(context.Background())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("export: %w", err), stamps.close())
	}
	p := &s.packer
	p.transmitter = transmitter{
		header:   wire.Header{ID: cfg.ID, Boot: boot},
		counters: &s.counters, health: s.health, clock: cfg.Clock,
	}
	p.id, p.log, p.stamps, p.maxDatagram = cfg.ID, log, stamps, cfg.MaxDatagram
	p.sealer.Store(sealer)
	s.key = cfg.Key
	if cfg.Delivery == Acknowledged {
		if err := s.acknowledged(boot); err != nil {
			return nil, errors.Join(fmt.Errorf("export: %w", err), l.close(), stamps.close())
		}
	}
	cfg.tellOfSpool(log)
	s.use(l)
	return s, nil
}

// openStamps gives the boot number and the stamper. Boot must grow from one start to the next, also where the clock did
// not.
func openStamps(cfg *Config, log *slog.Logger) (uint64, stamper, error) {
	now := cfg.Clock().UnixNano()
	if now <= 0 {
		return 0, stamper{}, errClock
	}
	st := stamper{clock: cfg.Clock}
	if cfg.Keeping == InMemory {
		return uint64(now), st, nil
	}
	file, kept, err := openState(cfg.StateDir, now, log)
	if err != nil {
		return 0, st, err
	}
	if lead := time.Duration(kept.stamp - now); lead > 2*reserveAhead {
		log.Warn("the clock is behind an earlier run: point times go on from that run's, ahead of the clock", "by", lead)
	}
	st.state, st.next, st.last = file, kept.stamp, kept
	return file.boot, st, nil
}

// SetKey makes the next datagram and all after it go out under k. Safe for any goroutine.
func (s *Sender) SetKey(k seal.Key) error {
	sealer, err := seal.NewSealer(s.cfg.ID, k)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	s.keys.Lock()
	defer s.keys.Unlock()
	opener, err := newAnswerOpener(s.cfg.ID, k, s.key)
	switch {
	case errors.Is(err, seal.ErrDuplicateKey):
		return nil // it is the one in use
	case err != nil:
		return fmt.Errorf("export: %w", err)
	}
	s.answers.Store(opener)
	s.key = k
	s.packer.sealer.Store(sealer)
	return nil
}

// LocalAddr is the socket's own address, now. Safe for any goroutine.
func (s *Sender) LocalAddr() netip.AddrPort { return s.endpoints().Local }

// Previous gives the boot of the sensor's life before this one, and whether that one ended in order; 0 when there was none
// or nothing is kept of it. A life that was killed made records that never left its tables, which its last report bounds.
func (s *Sender) Previous() (boot uint64, orderly bool) {
	last := s.packer.stamps.last
	return last.boot, last.end == clean
}

// Boot is this life's number: its start in ns since the Unix epoch, or more where the clock went back.
func (s *Sender) Boot() uint64 { return s.packer.header.Boot }

// RemoteAddr is the collector's address, now. Safe for any goroutine.
func (s *Sender) RemoteAddr() netip.AddrPort { return s.endpoints().Remote }

func (s *Sender) endpoints() Endpoints { return *s.ends.Load() }

// Run sends until ctx ends and then returns nil; what is queued is for Drain.
func (s *Sender) Run(ctx context.Context) error {
	if !s.acquire() {
		return ErrBusy
	}
	defer s.release()
	resolving, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.resolver.run(resolving) })
	defer wg.Wait()
	defer stop()

	s.loop(ctx)
	return nil
}

// loop is the sender's: a datagram leaves when it is full, or when its first record has waited for hold.
func (s *Sender) loop(ctx context.Context) {
	p := &s.packer
	// A datagram in hand is finished also when ctx ends; Drain sends the rest.
	sending := context.WithoutCancel(ctx)
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	tick := s.ticks()
	defer tick.Stop()
	flush := time.NewTimer(time.Hour)
	flush.Stop()
	defer flush.Stop()
	armed := false
	for {
		s.counters.turns.Add(1)
		select {
		case <-ctx.Done():
			return
		case c := <-s.full():
			p.pack(sending, c)
			s.queue.recycle(c)
		case now := <-tick.C:
			s.turn(sending, now)
		case h := <-s.heard:
			s.hear(sending, h)
		case r := <-s.results():
			s.packer.out.did(r, time.Now())
		case readings := <-s.reports:
			p.report(sending, readings)
		case <-flush.C:
			armed = false
			p.ship(sending)
		case l := <-s.resolver.links:
			p.ship(sending)
			s.move(l)
		case now := <-check.C:
			s.check(sending, now)
		}
		tick.adapt()
		if !armed && p.holds() {
			armed = true
			flush.Reset(hold(s.cfg.FlushInterval))
		}
	}
}

// check is the sender's housekeeping.
func (s *Sender) check(ctx context.Context, now time.Time) {
	s.health.check(now)
	s.drops.check(now)
	if p := &s.packer; now.Sub(p.fitted) >= refitEvery {
		p.ship(ctx)
		p.fit()
		p.fitted = now
	}
}

// use makes l the sender's link.
func (s *Sender) use(l *link) {
	p := &s.packer
	p.link, p.limit, p.explained, p.fitted = l, 0, 0, time.Now()
	p.fit()
	s.listen(l)
	s.ends.Store(&l.Endpoints)
	s.counters.sendBuffer.Store(int64(l.sendBuffer))
	if !l.leads() {
		return
	}
	s.log.Info("sending to the collector", "collector", s.cfg.Collector, "remote", l.Remote, "local", l.Local,
		"max_datagram", p.limit, "send_buffer", l.sendBuffer)
}

// move replaces the link.
func (s *Sender) move(l *link) {
	old := s.packer.link
	s.counters.moves.Add(1)
	s.use(l)
	if out := s.packer.out; out != nil {
		out.moved(time.Now())
	}
	if err := old.close(); err != nil {
		s.log.Warn("old socket not closed", "error", err)
	}
}

// Drain sends what the Batchers still hand over, until all of them are closed and the queue is empty, or ctx ends; what
// is left then is dropped and counted under Shutdown, as is everything after it. Call it once Run has returned.
func (s *Sender) Drain(ctx context.Context) error {
	if !s.acquire() {
		return ErrBusy
	}
	defer s.release()
	if s.packer.out != nil {
		s.drainAcknowledged(ctx)
	} else {
		for s.drainOne(ctx) {
			continue
		}
	}
	s.finish(ctx)
	if lost := s.counters.dropped[Shutdown].load(); lost.Records > 0 {
		return fmt.Errorf("export: %d records not sent within the drain's time", lost.Records)
	}
	return nil
}

// drainOne takes one chunk, and reports whether there may be more.
func (s *Sender) drainOne(ctx context.Context) bool {
	q := s.queue
	// Asked before the queue is seen empty: a Batcher hands over, then closes.
	last := q.open.Load() == 0
	select {
	case <-ctx.Done():
		return false
	case readings := <-s.reports:
		s.packer.report(ctx, readings)
		return true
	case c := <-q.full:
		s.packer.pack(ctx, c)
		q.recycle(c)
		return true
	default:
	}
	if last {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-q.bye:
	case c := <-q.full:
		s.packer.pack(ctx, c)
		q.recycle(c)
	}
	return true
}

// finish ends the sending for good.
func (s *Sender) finish(ctx context.Context) {
	s.packer.ship(ctx)
	if out := s.packer.out; out != nil {
		if err := out.save(); err != nil {
			s.log.Error("batches that were not acknowledged could not all be spooled", "error", err)
		}
	}
	s.queue.halt()
	s.queue.sweep(&s.counters.dropped[Shutdown])
	s.drops.last()
}

// Close counts what was not drained as lost, stores the exact stamp mark and closes the socket. Call it once Run and
// Drain have returned; more than once does no harm.
func (s *Sender) Close() error {
	if !s.acquire() {
		return ErrBusy
	}
	defer s.release()
	s.close.Do(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		s.finish(gone)
		s.closeErr = errors.Join(s.packer.link.close(), s.packer.stamps.close())
	})
	return s.closeErr
}

// acquire makes the caller the one sender.
func (s *Sender) acquire() bool {
	select {
	case s.busy <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Sender) release() { <-s.busy }
