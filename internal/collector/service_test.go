package collector_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/collector"
	"flowsensor/internal/daemon"
	"flowsensor/internal/seal"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childConfig); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// configured writes a key and a configuration, and loads it.
func configured(t *testing.T, more string) (string, collector.Config) {
	t.Helper()
	dir := t.TempDir()
	writeKey(t, filepath.Join(dir, "key"))
	path := filepath.Join(dir, "collector.toml")
	text := fmt.Sprintf("state_dir = %q\n[[sensor]]\nid = \"edge-1\"\nkey_files = [%q]\n[ingest]\nlisten = [\"127.0.0.1:0\"]\n[http]\nlisten = \"\"\n[status]\nsocket = \"\"\n%s",
		dir, filepath.Join(dir, "key"), more)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := collector.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, c
}

func writeKey(t *testing.T, path string) {
	t.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(key.Encode()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestServiceLeavesNothingOpen(t *testing.T) {
	before := 0
	for round := range 3 {
		path, c := configured(t, "")
		monitor := daemon.NewMonitor(time.Minute, nil)
		s := collector.NewService(path, c, monitor, slog.New(slog.DiscardHandler))
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status := s.Status(); !strings.Contains(status, "0 records received from 0 sensors") {
			t.Errorf("status %q", status)
		}
		writeKey(t, filepath.Join(filepath.Dir(path), "key")) // as when a key is changed
		if err := s.Reload(t.Context()); err != nil {
			t.Errorf("reload: %v", err)
		}
		if err := os.WriteFile(path, []byte("nonsense"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "collector.toml:1") {
			t.Errorf("a broken configuration was reloaded: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		if names := monitor.Stalled(); len(names) != 0 {
			t.Errorf("still watched: %v", names)
		}
		if round == 0 {
			before = descriptors(t) // the poller's own are open from now on
		} else if now := descriptors(t); now != before {
			t.Errorf("%d descriptors open, were %d", now, before)
		}
	}
}

// What fails half-way leaves nothing open, and says what is wrong.
func TestServiceStartIsAllOrNothing(t *testing.T) {
	path, c := configured(t, "")
	c.Store.Files.Directory = filepath.Join(path, "below a file")
	s := collector.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	before := descriptors(t)
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "line-protocol files") {
		t.Errorf("started: %v", err)
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors open, were %d", now, before)
	}
}

// How often conversations are written hangs on the journal's windows, which a reload leaves as they are: the log says so.
func TestReloadOfAnInterval(t *testing.T) {
	path, c := configured(t, "")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s := collector.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.NewTextHandler(&locked{to: &log}, nil)))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, interval := range []string{"60s", "10s"} {
		more := fmt.Sprintf("[rollup.conversation]\ninterval = %q\n", interval)
		if err := os.WriteFile(path, append(text, more...), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "conversations are written as often as before until a restart"); n != 1 {
		t.Errorf("it was said %d times:\n%s", n, log.String())
	}
}

// locked is a log of several goroutines.
type locked struct {
	mu sync.Mutex
	to *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}
