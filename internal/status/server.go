package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"flowsensor/internal/build"
	"flowsensor/internal/daemon"
)

// Version is that of the answers. Names that are there keep their meaning and their unit; a change of these makes a new version.
const Version = 1

// Head is what every answer begins with.
type Head struct {
	Version int       `json:"version"`
	Program string    `json:"program"`
	Build   string    `json:"build"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Time    time.Time `json:"time"` // of this answer
	// Uptime is by the monotonic clock: the difference of two answers is the time between them, whatever the wall clock did.
	Uptime float64 `json:"uptime_seconds"`
}

// NewHead makes the head of an answer given now by a daemon that was started then.
func NewHead(program string, started time.Time) Head {
	now := time.Now()
	return Head{
		Version: Version, Program: program, Build: build.Version(), PID: os.Getpid(), Started: started.UTC().Round(0), Time: now.UTC().Round(0),
		Uptime: now.Sub(started).Seconds(),
	}
}

// Server answers on one socket. Listen makes one.
type Server struct {
	path     string
	listener net.Listener
	lock     *os.File
	mux      *http.ServeMux
	close    func() error
}

// Listen makes the socket at path. One that a dead daemon left is replaced; where a living one has it the error is ErrInUse.
func Listen(path string) (*Server, error) {
	listener, lock, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("status socket %s: %w", path, err)
	}
	s := &Server{path: path, listener: listener, lock: lock, mux: http.NewServeMux()}
	s.close = sync.OnceValue(s.remove)
	return s, nil
}

// Handle has requests of a target such as "/status" answered by what read gives, as JSON. Call it before Run. The error of read
// is told to who asked.
func (s *Server) Handle(target string, read func(*http.Request) (any, error)) {
	s.mux.HandleFunc("GET "+target, func(w http.ResponseWriter, r *http.Request) {
		answer, err := read(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(answer) // the peer is gone: nothing to tell it
	})
}

// Run answers until ctx ends. The socket stays until Close.
func (s *Server) Run(ctx context.Context) error { return daemon.Serve(ctx, s.listener, s.mux) }

// Close removes the socket. Run must have returned, or never been called. It may be called more than once.
func (s *Server) Close() error { return s.close() }

// remove takes the name away while the lock is still held, so that it cannot be a successor's.
func (s *Server) remove() error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if closed := s.listener.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return errors.Join(err, s.lock.Close())
}
