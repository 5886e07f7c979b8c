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

// resolver finds the collector and opens the links to it. After NewSender it belongs to its own goroutine in Run: a
// look-up may take seconds, and the sender does not wait for it.
type resolver struct {
	cfg  *Config
	log  *slog.Logger
	host string
	port uint16

	current Endpoints     // of the sender's link
	kick    chan struct{} // holds a token when sending fails for long
	links   chan *link    // new links, to the sender
	tally   *counters
	failing bool // the last look-up failed
}

func newResolver(cfg *Config, tally *counters, log *slog.Logger) (*resolver, error) {
	host, port, err := splitCollector(cfg.Collector)
	if err != nil {
		return nil, err
	}
	return &resolver{
		cfg: cfg, log: log, tally: tally, host: host, port: port,
		kick: make(chan struct{}, 1), links: make(chan *link),
	}, nil
}

// run looks the name up at intervals and when kicked, and hands new links to the sender until ctx ends.
func (r *resolver) run(ctx context.Context) {
	every := time.NewTicker(r.cfg.ResolveInterval)
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
			r.current = l.Endpoints
		case <-ctx.Done():
			r.discard(l)
			return
		}
	}
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
	if len(addrs) == 0 || slices.Contains(addrs, r.current.Remote.Addr()) {
		return nil
	}
	return r.openLogged(ctx, addrs)
}

// renew goes on to the name's next address after sends failed for long. Where there is no other, a new link is only
// worth it when our own address changed.
func (r *resolver) renew(ctx context.Context) *link {
	addrs := r.lookupLogged(ctx)
	if i := slices.Index(addrs, r.current.Remote.Addr()); i >= 0 {
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

// lookup gives the addresses of the collector in the order of preference, without repetition.
func (r *resolver) lookup(ctx context.Context) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(r.host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := r.cfg.Resolve(ctx, r.host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); a.IsValid() && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, errNoAddress
	}
	return addrs, nil
}

// lookupLogged keeps to what is known where the look-up fails, and says so once.
func (r *resolver) lookupLogged(ctx context.Context) []netip.Addr {
	addrs, err := r.lookup(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		r.tally.resolveFails.Add(1)
		r.tally.fail(fmt.Errorf("resolve: %w", err))
		if !r.failing {
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
func (r *resolver) open(ctx context.Context, addrs []netip.Addr) (*link, error) {
	var errs []error
	for _, a := range addrs {
		l, err := dial(ctx, netip.AddrPortFrom(a, r.port), r.cfg.SendBuffer)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (r *resolver) openLogged(ctx context.Context, addrs []netip.Addr) *link {
	l, err := r.open(ctx, addrs)
	if err != nil && ctx.Err() == nil {
		r.tally.fail(err)
		r.log.Warn("no new socket to the collector", "collector", r.cfg.Collector, "error", err)
	}
	return l
}

func (r *resolver) discard(l *link) {
	if err := l.close(); err != nil {
		r.log.Warn("unused socket not closed", "error", err)
	}
}
