package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type answer struct {
	status.Head
	Flows int `json:"flows"`
}

// serve runs a server that answers until the test ends.
func serve(t *testing.T, path string) {
	t.Helper()
	s, err := status.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	s.Handle("/status", func(*http.Request) (any, error) { return answer{status.NewHead("flow-test", started), 7}, nil })
	s.Handle("/old", func(*http.Request) (any, error) {
		return answer{Head: status.Head{Version: 99, Program: "flow-test"}}, nil
	})
	s.Handle("/broken", func(*http.Request) (any, error) { return nil, errors.New("no worker answers") })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
}

func client(t *testing.T, path string) *status.Client {
	t.Helper()
	c := status.NewClient(path)
	t.Cleanup(c.Close)
	return c
}

func TestAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v: the group must be able to ask, others must not", info.Mode(), err)
	}
	c := client(t, path)
	var got answer
	if err := c.Get(t.Context(), "/status", &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != status.Version || got.Program != "flow-test" || got.PID != os.Getpid() || got.Flows != 7 || got.Uptime <= 0 ||
		got.Started.After(got.Time) {
		t.Errorf("got %+v", got)
	}
	text, err := c.Raw(t.Context(), "/status")
	if err != nil || !json.Valid(text) {
		t.Errorf("%s, %v", text, err)
	}
	for target, want := range map[string]string{"/old": "answers in version 99", "/broken": "no worker answers", "/none": "404"} {
		if err := c.Get(t.Context(), target, &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", target, err, want)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c := client(t, path)
	for _, stale := range []bool{false, true} {
		if stale {
			leave(t, path)
		}
		if err := c.Get(t.Context(), "/status", &answer{}); err == nil || !strings.Contains(err.Error(), "is the service running?") {
			t.Errorf("stale %v: got %v", stale, err)
		}
	}
}

// leave leaves a socket behind that nobody listens on, as a daemon does that was killed.
func leave(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	leave(t, path)
	leave(t, path+".new") // killed in the middle of making it
	serve(t, path)
	if err := client(t, path).Get(t.Context(), "/status", &answer{}); err != nil {
		t.Error(err)
	}
}

func TestLivingDaemonKeepsItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path)
	if _, err := status.Listen(path); !errors.Is(err, status.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if err := client(t, path).Get(t.Context(), "/status", &answer{}); err != nil {
		t.Errorf("the first one no longer answers: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file:                            "something else of that name",
		filepath.Join(dir, "none", "s"): "no such file or directory",
		filepath.Join(dir, strings.Repeat("x", 108)): "octets",
	} {
		if s, err := status.Listen(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v", path, s, err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "kept" {
		t.Errorf("the file was touched: %q %v", text, err)
	}
}

func TestPaths(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "")
	for config, want := range map[string]string{
		"/etc/flow-sensor/sensor.toml": "/run/flow-sensor/status.sock",
		"/etc/flow-sensor/dmz.toml":    "/run/flow-sensor-dmz/status.sock",
	} {
		if got := status.Own("flow-sensor", config); got != want {
			t.Errorf("%s: %s, want %s", config, got, want)
		}
	}
	t.Setenv("RUNTIME_DIRECTORY", "/run/flow-sensor-x:/run/other")
	if got := status.Own("flow-sensor", "sensor.toml"); got != "/run/flow-sensor-x/status.sock" {
		t.Error(got)
	}
}
