package dnstap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	framestream "github.com/farsightsec/golang-framestream"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
)

// contentType is what the peers agree on.
const contentType = "protobuf:dnstap.Dnstap"

const (
	// acceptPause is how long a failure to accept is waited out: of descriptors, mostly.
	acceptPause = 100 * time.Millisecond
	// quietFor is how long such failures are only counted after one was logged.
	quietFor = time.Minute
)

// Server listens for DNS servers. Make it with Listen.
type Server struct {
	listener net.Listener
	log      *slog.Logger
	counters counters

	mu    sync.Mutex // protects what follows
	open  map[net.Conn]*dnsmsg.Decoder
	ended dnsmsg.Stats // of the connections that were
}

// Listen opens the socket that text names, see ParseListen. A Unix socket that a killed process left is replaced; one that
// somebody listens on is not.
func Listen(text string, log *slog.Logger) (*Server, error) {
	network, address, err := ParseListen(text)
	if err != nil {
		return nil, fmt.Errorf("dnstap: %w", err)
	}
	if network == "unix" {
		if err := removeStale(address); err != nil {
			return nil, fmt.Errorf("dnstap: %w", err)
		}
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("dnstap: %w", err)
	}
	if network == "unix" {
		if err := os.Chmod(address, socketMode); err != nil {
			return nil, errors.Join(fmt.Errorf("dnstap: %w", err), l.Close())
		}
	}
	return &Server{listener: l, log: log, open: make(map[net.Conn]*dnsmsg.Decoder)}, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil // listening on something else than a socket says so
	}
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("%s: somebody listens there already", path), conn.Close())
	}
	return os.Remove(path)
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run takes connections until ctx ends; when it returns none is open, and emit is not called any more. emit must not keep
// the pointer; what the answer holds it may keep. It is called from many goroutines.
func (s *Server) Run(ctx context.Context, emit func(*flow.DNSAnswer)) error {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = s.listener.Close()
		s.hangUp()
	})
	defer stop()
	var logged time.Time
	for {
		conn, err := s.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if conn != nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			s.counters.refuse(NotAccepted)
			if logged.IsZero() || time.Since(logged) >= quietFor {
				logged = time.Now()
				s.log.Warn("cannot accept dnstap connections, trying on; more failures in the next minute are only counted", "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		s.counters.accepted.Add(1)
		d := dnsmsg.NewDecoder()
		if !s.enter(ctx, conn, d) {
			s.counters.refuse(Busy)
			_ = conn.Close()
			continue
		}
		all.Go(func() {
			defer s.leave(conn, d)
			s.serve(conn, d, emit)
		})
	}
}

// enter takes a connection up, unless there are too many or the end has come.
func (s *Server) enter(ctx context.Context, conn net.Conn, d *dnsmsg.Decoder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxConnections || ctx.Err() != nil {
		return false
	}
	s.open[conn] = d
	return true
}

func (s *Server) leave(conn net.Conn, d *dnsmsg.Decoder) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
	s.ended = s.ended.Plus(d.Stats())
}

// hangUp ends every connection.
func (s *Server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

// serve reads one connection to its end.
func (s *Server) serve(conn net.Conn, d *dnsmsg.Decoder, emit func(*flow.DNSAnswer)) {
	frames, err := framestream.NewDecoder(conn, &framestream.DecoderOptions{
		MaxPayloadSize: maxFrame, ContentType: []byte(contentType), Bidirectional: true, Timeout: handshakeTimeout,
	})
	if err != nil {
		s.counters.refuse(Handshake)
		s.log.Debug("a dnstap connection was refused", "remote", conn.RemoteAddr().String(), "err", err)
		return
	}
	s.log.Info("a DNS server tells of its answers", "remote", conn.RemoteAddr().String())
	var a flow.DNSAnswer
	for {
		frame, err := frames.Decode()
		switch {
		case err == nil:
			s.frame(frame, d, &a, emit)
		case errors.Is(err, framestream.ErrDataFrameTooLarge):
			s.counters.refuse(TooLong)
		case errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed):
			return
		default:
			s.counters.refuse(Broken)
			return
		}
	}
}

// frame takes one dnstap message.
func (s *Server) frame(frame []byte, d *dnsmsg.Decoder, a *flow.DNSAnswer, emit func(*flow.DNSAnswer)) {
	s.counters.frames.Add(1)
	m, r, ok := parse(frame)
	if !ok {
		s.counters.refuse(r)
		return
	}
	if d.Message(m.response, a) != dnsmsg.OK {
		return
	}
	m.address(a, time.Now())
	emit(a)
}

// Close closes the socket, which ends Run. More than once does no harm.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("dnstap: %w", err)
	}
	return nil
}
