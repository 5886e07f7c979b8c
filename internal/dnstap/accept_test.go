package dnstap_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"flowsensor/internal/dnstap"
	"flowsensor/internal/flow"
)

// A process that has no descriptor left says so once, counts each try, and takes the connection when there is one again.
func TestAcceptFailuresAreCountedAndLoggedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnstap.sock")
	var log lines
	s, err := dnstap.Listen("unix:"+path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path) // it waits in the listener's queue
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	restore := limitDescriptors(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(*flow.DNSAnswer) {}) }()
	eventually(t, "failures", func() bool { return s.Stats().Refused[dnstap.NotAccepted] >= 5 })
	if n := log.count("cannot accept"); n != 1 {
		t.Errorf("%d lines for 5 failures:\n%s", n, log.String())
	}
	restore()
	eventually(t, "connection", func() bool { return s.Stats().Accepted == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// limitDescriptors has the kernel give this process no descriptor more, until it is restored.
func limitDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	restore = sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore)
	return restore
}

// lines takes a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) count(word string) int { return strings.Count(l.String(), word) }
