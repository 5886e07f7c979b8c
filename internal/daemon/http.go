package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Page is the loopback page: /metrics for Prometheus and /healthz for whoever asks whether the daemon works.
type Page struct {
	listener net.Listener
	handler  http.Handler
}

// NewPage listens on address; "" gives nil, which serves nothing. healthy says why the daemon is not healthy, nil when
// it is.
func NewPage(address string, metrics http.Handler, healthy func() error) (*Page, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err // it names the address
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n") // the peer is gone: nothing to tell it
	})
	return &Page{listener: listener, handler: mux}, nil
}

// Addr is the address the page is served on, "" when there is none.
func (p *Page) Addr() string {
	if p == nil {
		return ""
	}
	return p.listener.Addr().String()
}

// Run serves until ctx ends.
func (p *Page) Run(ctx context.Context) error {
	if p == nil {
		<-ctx.Done()
		return nil
	}
	return Serve(ctx, p.listener, p.handler)
}

// maxConnections are served at a time; others wait to be taken. Every user of the machine can connect to the page, and
// must not be able to use up the descriptors that files and sockets need.
const maxConnections = 64

// Serve answers HTTP requests, bounded in time, size and number, until ctx ends; then the listener and all connections are
// closed.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve reports what matters
	defer stop()
	if err := server.Serve(netutil.LimitListener(listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}
