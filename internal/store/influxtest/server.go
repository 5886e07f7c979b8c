package influxtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Config says how to start a server. Binary and Dir must be set.
type Config struct {
	Binary string // of Find
	Dir    string // that the server may fill
	// User and Password make a server that wants credentials, with this one administrator.
	User, Password string
	// MaxBodySize is what the server takes in one request, its default when 0.
	MaxBodySize int
	// Command and Dial start the server and reach it in another network namespace; nil is this one.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// Server is a running influxd.
type Server struct {
	cfg    Config
	client *http.Client
	addr   string // "127.0.0.1:0" before the first start, then kept over restarts
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	tail   []string      // the last lines of its log, complete once exited
}

// startTimeout is generous: the usual start takes less than a second.
const startTimeout = 30 * time.Second

// Start starts a server and returns when it takes requests.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Command == nil {
		cfg.Command = exec.CommandContext
	}
	s := &Server{
		cfg: cfg, addr: "127.0.0.1:0",
		client: &http.Client{Timeout: startTimeout, Transport: &http.Transport{DisableKeepAlives: true, DialContext: cfg.Dial}},
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start influxd: %w", err)
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	if cfg.User != "" {
		password := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(cfg.Password)
		statement := fmt.Sprintf("CREATE USER %s WITH PASSWORD '%s' WITH ALL PRIVILEGES", quote(cfg.User), password)
		if _, err := s.Query(ctx, "", statement); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// Start starts a stopped server again, with its data and at its address.
func (s *Server) Start(ctx context.Context) error {
	path := filepath.Join(s.cfg.Dir, "influxdb.conf")
	if err := os.WriteFile(path, []byte(s.config()), 0o644); err != nil {
		return fmt.Errorf("start influxd: %w", err)
	}
	cmd := s.cfg.Command(context.Background(), s.cfg.Binary, "-config", path) // it outlives ctx
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("start influxd: %w", err)
	}
	s.cmd, s.exited, s.tail = cmd, make(chan struct{}), nil
	started, listening := make(chan error), make(chan string, 1)
	go s.run(log, started, listening)
	if err := <-started; err != nil {
		return fmt.Errorf("start influxd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case s.addr = <-listening:
		return nil
	case <-s.exited:
		return fmt.Errorf("influxd ended at once: %s", strings.Join(s.tail, "\n"))
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("start influxd: %w", ctx.Err()), s.Kill())
	}
}

// run is the process from start to end. It reads the log to its end, so that the server never waits for us, and finds
// the address in it. Its thread is its own, because the kernel takes the thread that started the process for its parent
// (PR_SET_PDEATHSIG(2const)), and other threads may end before the test does.
func (s *Server) run(log io.Reader, started chan<- error, listening chan<- string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.exited)
	err := s.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if _, rest, ok := strings.Cut(line, "Listening on HTTP"); ok {
			if _, addr, ok := strings.Cut(rest, "addr="); ok {
				listening <- strings.Fields(addr)[0]
			}
		}
		s.tail = append(s.tail[max(0, len(s.tail)-4):], line)
	}
	_ = s.cmd.Wait()
}

func (s *Server) config() string {
	text := fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = %[1]q
[data]
dir = %[2]q
wal-dir = %[3]q
index-version = "tsi1"
query-log-enabled = false
[monitor]
store-enabled = false
[continuous_queries]
enabled = false
[http]
bind-address = %[4]q
auth-enabled = %[5]t
log-enabled = false
`, filepath.Join(s.cfg.Dir, "meta"), filepath.Join(s.cfg.Dir, "data"), filepath.Join(s.cfg.Dir, "wal"), s.addr, s.cfg.User != "")
	if s.cfg.MaxBodySize > 0 {
		text += fmt.Sprintf("max-body-size = %d\n", s.cfg.MaxBodySize)
	}
	return text
}

// URL is where the server answers.
func (s *Server) URL() string { return "http://" + s.addr }

// Stop ends the server, by force when it does not end by itself within ten seconds. Stopping twice is harmless.
func (s *Server) Stop() error {
	select {
	case <-s.exited:
		return nil
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop influxd: %w", err)
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(10 * time.Second):
		return s.Kill()
	}
}

// Kill ends the server as a crash would.
func (s *Server) Kill() error {
	select {
	case <-s.exited:
		return nil
	default:
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill influxd: %w", err)
	}
	<-s.exited
	return nil
}
