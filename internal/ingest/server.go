package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"flowsensor/internal/flow"
	"flowsensor/internal/legacy"
	"flowsensor/internal/seal"
)

// Errors that Run gives.
var (
	ErrNoSink = errors.New("no sink to hand batches to")
	ErrRan    = errors.New("ingest was run before")
)

// keepRecords is the longest batch that is kept for another use: a datagram of the usual size has well below 100
// records.
const keepRecords = 1024

// Server receives the datagrams of all sensors. Listen makes one; all methods are safe for concurrent use. It must be
// closed.
type Server struct {
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	keys     atomic.Pointer[keyring]
	agents   atomic.Pointer[legacy.Agents] // nil: bare tokens are datagrams of a wrong shape
	reload   sync.Mutex                    // held while keys is replaced
	readers  []*reader
	throttle *throttle
	batches  sync.Pool // of *flow.Batch
	answers  *answerer

	durable, lost flow.VolumeCounter
	legacy        legacyCounters
	ran           atomic.Bool
	close         func() error
}

// keyring is the opener with the state of the sensors that it knows, replaced as one.
type keyring struct {
	opener  *seal.Opener
	sensors map[string]*sensor
}

// Listen opens the sockets, or takes over those of the configuration. Datagrams are queued by the kernel from here on;
// Run takes them. Where Listen fails it leaves nothing open.
func Listen(cfg Config, opener *seal.Opener, log *slog.Logger) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, errors.Join(err, closeConns(cfg.Conns))
	}
	sockets, err := openSockets(&cfg, log)
	if err != nil {
		return nil, err
	}
	s := newServer(cfg, opener, log)
	go s.answers.run()
	s.close = sync.OnceValue(func() error {
		s.answers.stop()
		return closeSockets(sockets)
	})
	for _, sock := range sockets {
		s.readers = append(s.readers, newReader(s, sock))
	}
	return s, nil
}

// newServer makes a Server without sockets.
func newServer(cfg Config, opener *seal.Opener, log *slog.Logger) *Server {
	s := &Server{cfg: cfg, log: log, now: time.Now, close: func() error { return nil }}
	s.answers = newAnswerer(cfg.ID, cfg.AnswerAfter, s.now)
	s.throttle = newThrottle(cfg.LogPeriod, s.now())
	s.batches.New = func() any { return new(flow.Batch) }
	s.keys.Store(&keyring{})
	s.SetOpener(opener)
	s.SetAgents(cfg.Agents)
	return s
}

// Addrs are the local addresses of the sockets.
func (s *Server) Addrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, 0, len(s.readers))
	for _, r := range s.readers {
		addrs = append(addrs, r.socket.local)
	}
	return addrs
}

// Run receives until ctx ends; then it takes what has been queued in the sockets, and returns nil. It returns nil after
// Close too, and an error when a socket cannot be read any more. It may be called once; the sockets stay open until
// Close.
func (s *Server) Run(ctx context.Context, sink Sink) error {
	if sink == nil {
		return ErrNoSink
	}
	if s.ran.Swap(true) {
		return ErrRan
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	past := s.now() // a deadline in the past wakes a reader
	woken := make(chan struct{})
	for _, r := range s.readers {
		r.sink, r.woken = sink, woken
		if err := r.socket.SetReadDeadline(past); err != nil {
			return closedIsEnd(err)
		}
	}
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		for _, r := range s.readers {
			_ = r.socket.SetReadDeadline(past) // an error means closed, and that wakes as well
		}
	})
	var g errgroup.Group
	for _, r := range s.readers {
		g.Go(func() error {
			err := r.run(ctx)
			if err != nil {
				cancel() // one socket that cannot be read ends them all
			}
			return err
		})
	}
	err := g.Wait()
	if !stop() {
		<-woken
	}
	return err
}

// SetOpener replaces keys, prefixes and limits. What a sensor sent before stays known, as long as its id is among the
// new opener's: its replay windows and its counters go on. A datagram is opened by the old opener or by the new one.
func (s *Server) SetOpener(opener *seal.Opener) {
	s.reload.Lock()
	defer s.reload.Unlock()
	old := s.keys.Load()
	next := &keyring{opener: opener, sensors: make(map[string]*sensor)}
	for _, id := range opener.IDs() {
		if next.sensors[id] = old.sensors[id]; next.sensors[id] == nil {
			next.sensors[id] = &sensor{id: id}
		}
	}
	s.keys.Store(next)
}

// batch gives a batch that nobody uses.
func (s *Server) batch() *flow.Batch { return s.batches.Get().(*flow.Batch) }

// recycle keeps a batch for another use.
func (s *Server) recycle(b *flow.Batch) {
	if cap(b.Records) <= keepRecords {
		s.batches.Put(b)
	}
}

// Close sends the answers that wait and closes the sockets, which ends Run. It may be called more than once, and gives the same answer each time.
func (s *Server) Close() error { return s.close() }
