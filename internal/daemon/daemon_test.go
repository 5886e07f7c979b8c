package daemon_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMonitorNamesStalledBeats(t *testing.T) {
	now := time.Unix(0, 0)
	m := daemon.NewMonitor(5*time.Second, func() time.Time { return now })
	var a, b daemon.Beat
	m.Watch("a", a.Turns)
	m.Watch("b", b.Turns)
	now = now.Add(4 * time.Second)
	a.Tick()
	if got := m.Stalled(); len(got) != 0 {
		t.Errorf("stalled within patience: %v", got)
	}
	now = now.Add(4 * time.Second)
	if got := m.Stalled(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("got %v, want b alone", got)
	}
	if err := m.Healthy(); err == nil || err.Error() != "no progress: b" {
		t.Errorf("health says %v", err)
	}
	b.Tick()
	if got := m.Stalled(); len(got) != 0 {
		t.Errorf("a beat that moves again is still stalled: %v", got)
	}
	now = now.Add(time.Minute)
	m.Forget("a")
	m.Forget("b")
	if got := m.Stalled(); len(got) != 0 {
		t.Errorf("forgotten beats are stalled: %v", got)
	}
}

// fake is a service whose life the test reads.
type fake struct {
	events chan string
	failed chan error
	hold   time.Duration
}

func newFake() *fake { return &fake{events: make(chan string, 16), failed: make(chan error, 1)} }

func (f *fake) Start(context.Context) error  { f.events <- "start"; return nil }
func (f *fake) Failed() <-chan error         { return f.failed }
func (f *fake) Reload(context.Context) error { f.events <- "reload"; return nil }
func (f *fake) Status() string               { return "all well" }
func (f *fake) Stop(ctx context.Context) error {
	defer func() { f.events <- "stop" }()
	select {
	case <-time.After(f.hold):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// systemd listens where NOTIFY_SOCKET points and hands on what it hears.
func systemd(t *testing.T) <-chan string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	heard := make(chan string, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			heard <- string(buf[:n])
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return heard
}

func expect(t *testing.T, heard <-chan string, want string) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case got := <-heard:
			if strings.Contains(got, want) {
				return
			}
		case <-deadline:
			t.Fatalf("did not hear %q", want)
		}
	}
}

func options(m *daemon.Monitor) daemon.Options {
	return daemon.Options{
		Log: slog.New(slog.DiscardHandler), Monitor: m, StopTimeout: time.Second, StatusPeriod: 20 * time.Millisecond,
	}
}

func TestRunTellsSystemd(t *testing.T) {
	heard := systemd(t)
	s := newFake()
	result := make(chan error, 1)
	go func() { result <- daemon.Run(t.Context(), s, options(daemon.NewMonitor(time.Minute, nil))) }()
	expect(t, s.events, "start")
	expect(t, heard, "READY=1\nSTATUS=all well")
	expect(t, heard, "STATUS=all well")
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect(t, heard, "RELOADING=1\nMONOTONIC_USEC=")
	expect(t, s.events, "reload")
	expect(t, heard, "READY=1")
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect(t, heard, "STOPPING=1")
	expect(t, s.events, "stop")
	if err := <-result; err != nil {
		t.Errorf("a clean stop gave %v", err)
	}
}

// mended refuses the first reload alone.
type mended struct {
	*fake

	reloads atomic.Int32
}

func (m *mended) Reload(context.Context) error {
	if m.reloads.Add(1) == 1 {
		return errors.New("a wrong line")
	}
	return nil
}

// systemctl reload sends a signal and knows no more: the status says that nothing was taken over, until something is.
func TestStatusTellsOfARefusedReload(t *testing.T) {
	heard := systemd(t)
	s := &mended{fake: newFake()}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- daemon.Run(ctx, s, options(daemon.NewMonitor(time.Minute, nil))) }()
	expect(t, heard, "READY=1\nSTATUS=all well")
	hangUp := func() {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		expect(t, heard, "RELOADING=1")
	}
	hangUp()
	expect(t, heard, "READY=1\nSTATUS=the last reload was refused, the log says why; all well")
	expect(t, heard, "STATUS=the last reload was refused, the log says why; all well")
	hangUp()
	expect(t, heard, "READY=1\nSTATUS=all well")
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestWatchdogFallsSilentWhenAWorkerStalls(t *testing.T) {
	heard := systemd(t)
	t.Setenv("WATCHDOG_USEC", "60000") // a message each 20 ms
	ctx, cancel := context.WithCancel(t.Context())
	m := daemon.NewMonitor(200*time.Millisecond, nil)
	var moving, frozen daemon.Beat
	m.Watch("worker 0", moving.Turns)
	m.Watch("worker 1", frozen.Turns)
	ticking, stopTicking := context.WithCancel(t.Context())
	ticked := make(chan struct{})
	go func() {
		defer close(ticked)
		for ticking.Err() == nil {
			moving.Tick()
			time.Sleep(5 * time.Millisecond)
		}
	}()
	s := newFake()
	result := make(chan error, 1)
	go func() { result <- daemon.Run(ctx, s, options(m)) }()
	expect(t, heard, "WATCHDOG=1")
	deadline := time.After(5 * time.Second)
	for silence := time.NewTimer(400 * time.Millisecond); ; {
		select {
		case got := <-heard:
			if strings.Contains(got, "WATCHDOG=1") {
				silence.Reset(400 * time.Millisecond)
			}
			continue
		case <-deadline:
			t.Fatal("the watchdog is fed although one worker is frozen")
		case <-silence.C:
		}
		break
	}
	frozen.Tick()
	expect(t, heard, "WATCHDOG=1")
	stopTicking()
	<-ticked
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestRunReportsFailureAndUnfinishedDrain(t *testing.T) {
	s := newFake()
	s.hold = time.Minute
	broken := errors.New("the ring is gone")
	s.failed <- broken
	o := options(daemon.NewMonitor(time.Minute, nil))
	o.StopTimeout = 20 * time.Millisecond
	err := daemon.Run(t.Context(), s, o)
	if !errors.Is(err, broken) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestPage(t *testing.T) {
	var sick error
	page, err := daemon.NewPage("127.0.0.1:0", http.NotFoundHandler(), func() error { return sick })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- page.Run(ctx) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func() (int, string) {
		resp, err := client.Get("http://" + page.Addr() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get(); code != 200 || body != "ok\n" {
		t.Errorf("healthy: %d %q", code, body)
	}
	sick = errors.New("no progress: worker 1")
	if code, body := get(); code != 503 || !strings.Contains(body, "worker 1") {
		t.Errorf("sick: %d %q", code, body)
	}
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestNoPage(t *testing.T) {
	page, err := daemon.NewPage("", nil, nil)
	if err != nil || page != nil || page.Addr() != "" {
		t.Fatalf("got %v, %v", page, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := page.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestLoggerRefusesUnknownWords(t *testing.T) {
	for _, c := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := daemon.NewLogger(c[0], c[1]); err == nil {
			t.Errorf("level %s, format %s was taken", c[0], c[1])
		}
	}
}
