package status_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/status"
)

func TestTask(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	path := filepath.Join(os.Getenv("RUNTIME_DIRECTORY"), "status.sock")
	var logged bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	run := status.Task(ctx, status.Options{
		Socket: status.Auto, Program: "flow-test", Config: "test.toml", Log: slog.New(slog.NewTextHandler(&logged, nil)),
		Handle: func(s *status.Server) {
			s.Handle("/status", func(*http.Request) (any, error) { return answer{status.NewHead("flow-test", time.Now()), 1}, nil })
		},
	})
	ended := make(chan struct{})
	go func() { defer close(ended); run() }()
	if err := client(t, path).Get(t.Context(), "/status", &answer{}); err != nil {
		t.Error(err)
	}
	cancel()
	<-ended
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) || logged.Len() > 0 {
		t.Errorf("%v; %s", err, logged.String())
	}
}

// A daemon works without its socket: by hand that is usual, in a service it is a warning.
func TestTaskWithoutSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RUNTIME_DIRECTORY", filepath.Join(t.TempDir(), "none"))
	for socket, want := range map[string]string{"": "", status.Auto: "level=INFO", file: "level=WARN"} {
		var logged bytes.Buffer
		run := status.Task(t.Context(), status.Options{
			Socket: socket, Program: "flow-test", Config: "test.toml", Log: slog.New(slog.NewTextHandler(&logged, nil)),
			Handle: func(*status.Server) { t.Errorf("%q: there is a server", socket) },
		})
		run()
		if !strings.Contains(logged.String(), want) || want == "" && logged.Len() > 0 {
			t.Errorf("%q: %s", socket, logged.String())
		}
	}
}
