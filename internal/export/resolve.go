package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

const lookupTimeout = 5 * time.Second

var errNoAddress = errors.New("the name has no address")

// target is a collector as it is configured.
type target struct {
	host string
	port uint16
}

// resolver finds the collector and opens the links to it. After NewSender it belongs to its own goroutine in Run: a
// look-up may take seconds, and the sender does not wait for it.
type resolver struct {
	cfg     *Config
	log     *slog.Logger
	targets []target

	current Endpoints     // of the sender's link
	kick    chan struct{} // holds a token when sending fails for long
	links   chan *link    // new links, to the sender
	tally   *counters
	failing bool // the last look-up failed
	absent  bool // no collector was found yet
}

func newResolver(cfg *Config, tally *counters, log *slog.Logger) (*resolver, error) {
	r := &resolver{cfg: cfg, log: log, tally: tally, kick: make(chan struct{}, 1), links: make(chan *link)}
	for _, collector := range append([]string{cfg.Collector}, cfg.Standby...) {
		host, port, err := splitCollector(collector)
		if err != nil {
			return nil, err
		}
		r.targets = append(r.targets, target{host, port})
	}
	return r, nil
}

// run looks the name up at intervals and when kicked, and hands new links to the sender until ctx ends.
func (r *resolver) run(ctx context.Context) {
	every := time.NewTicker(r.interval())
	defer every.Stop()
	for {
		var l *link
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			l = r.follow(ctx)
		case <-r.kick:
			l = r.renew(ctx)
		}
		if l == nil {
			continue
		}
		if r.cfg.Moved != nil {
			r.cfg.Moved(r.current, l.Endpoints)
		}
		select {
		case r.links <- l:
			r.current, r.absent = l.Endpoints, false
			every.Reset(r.interval())
		case <-ctx.Done():
			r.discard(l)
			return
		}
	}
}

func (r *resolver) interval() time.Duration {
	if r.absent {
		return min(lookOnEvery, r.cfg.ResolveInterval)
	}
	return r.cfg.ResolveInterval
}

// first opens the link to the first address that takes one.
func (r *resolver) first(ctx context.Context) (*link, error) {
	addrs, err := r.lookup(ctx)
	if err != nil {
		return nil, fmt.Errorf("collector %s: %w", r.cfg.Collector, err)
	}
	l, err := r.open(ctx, addrs)
	if err != nil {
		return nil, fmt.Errorf("collector %s: %w", r.cfg.Collector, err)
	}
	r.current = l.Endpoints
	return l, nil
}

// follow opens a new link when the name does not stand for the current address any more.
func (r *resolver) follow(ctx context.Context) *link {
	addrs := r.lookupLogged(ctx)
	if len(addrs) == 0 || slices.Contains(addrs, r.current.Remote) {
		return nil
	}
	return r.openLogged(ctx, addrs)
}

// renew goes on to the next address, of this collector or of the next one, after sends failed for long. Where there is no other, a new link is only
// worth it when our own address changed.
func (r *resolver) renew(ctx context.Context) *link {
	addrs := r.lookupLogged(ctx)
	if i := slices.Index(addrs, r.current.Remote); i >= 0 {
		addrs = append(addrs[i+1:len(addrs):len(addrs)], addrs[:i+1]...)
	}
	if len(addrs) == 0 {
		return nil
	}
	l := r.openLogged(ctx, addrs)
	if l != nil && l.Remote == r.current.Remote && l.Local.Addr() == r.current.Local.Addr() {
		r.discard(l)
		return nil
	}
	return l
}

// lookup gives the addresses of all collectors in the order of preference, without repetition. A name that is not found
// is only an error where nothing else is.
func (r *resolver) lookup(ctx context.Context) (addrs []netip.AddrPort, err error) {
	var errs []error
	for _, t := range r.targets {
		found, err := r.resolve(ctx, t.host)
		errs = append(errs, err)
		for _, a := range found {
			if to := netip.AddrPortFrom(a.Unmap(), t.port); a.IsValid() && !slices.Contains(addrs, to) {
				addrs = append(addrs, to)
			}
		}
	}
	if err := errors.Join(errs...); err != nil && (len(addrs) == 0 || ctx.Err() != nil) {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, errNoAddress
	}
	return addrs, nil
}

func (r *resolver) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	return r.cfg.Resolve(ctx, host)
}

// lookupLogged keeps to what is known where the look-up fails, and says so once.
func (r *resolver) lookupLogged(ctx context.Context) []netip.AddrPort {
	addrs, err := r.lookup(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		r.tally.resolveFails.Add(1)
		r.tally.fail(fmt.Errorf("resolve: %w", err))
		if !r.failing && !r.absent {
			r.log.Warn("collector's name not resolved, keeping its last address",
				"collector", r.cfg.Collector, "remote", r.current.Remote, "error", err)
		}
	} else if r.failing {
		r.log.Info("collector's name resolved again", "collector", r.cfg.Collector)
	}
	r.failing = err != nil
	return addrs
}

// open connects to the first address that the kernel has a route to.
func (r *resolver) open(ctx context.Context, addrs []netip.AddrPort) (*link, error) {
	var errs []error
	for _, a := range addrs {
		l, err := dial(ctx, a, r.cfg.SendBuffer)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (r *resolver) openLogged(ctx context.Context, addrs []netip.AddrPort) *link {
	l, err := r.open(ctx, addrs)
	if err != nil && ctx.Err() == nil {
		r.tally.fail(err)
		if r.absent {
			return nil // as was said
		}
		r.log.Warn("no new socket to the collector", "collector", r.cfg.Collector, "error", err)
	}
	return l
}

func (r *resolver) discard(l *link) {
	if err := l.close(); err != nil {
		r.log.Warn("unused socket not closed", "error", err)
	}
}
