package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Page is the loopback page: /metrics for Prometheus and /healthz for whoever asks whether the daemon works.
type Page struct {
	listener net.Listener
	server   *http.Server
}

// NewPage listens on address; "" gives nil, which serves nothing. healthy says why the daemon is not healthy, nil when
// it is.
func NewPage(address string, metrics http.Handler, healthy func() error) (*Page, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("http listen: %w", err)
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
	return &Page{listener: listener, server: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}, nil
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
	stop := context.AfterFunc(ctx, func() { _ = p.server.Close() }) // Serve reports what matters
	defer stop()
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}
