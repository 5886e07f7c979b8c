package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
	"flowsensor/internal/testnet"
)

// childEnv names the engine of the process that TestCapNetRawIsEnough starts.
const childEnv = "CAPTURE_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := child(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3) //nolint:forbidigo // this process is the test's child, not the test
		}
		os.Exit(0) //nolint:forbidigo // as above
	}
	os.Exit(m.Run()) //nolint:forbidigo // TestMain is where a test binary ends
}

// child captures one frame with all that a configuration can ask for.
func child(name string) error {
	var engine capture.Engine
	if err := engine.UnmarshalText([]byte(name)); err != nil {
		return err
	}
	// What MemoryDenyWriteExecute=yes of systemd.exec(5) refuses; older kernels do not know it.
	const setMDWE, refuseExecGain = 65, 1
	if err := unix.Prctl(setMDWE, refuseExecGain, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tap, err := capture.Open(ctx, capture.Config{
		Interface: "eth0", Workers: 2, RingSize: 1 << 20, Engine: engine, Filter: "udp", Exclude: []capture.Exclusion{exclusion("", "192.0.2.1:9999")},
	}, nil)
	if err != nil {
		return err
	}
	s := tap.Stats()
	if s.Promiscuity == 0 || s.Offloads.GRO == capture.Unknown {
		return fmt.Errorf("promiscuity %d, offloads %+v", s.Promiscuity, s.Offloads)
	}
	if _, err := tap.Counters(); err != nil {
		return err
	}
	if _, err := capture.Interfaces(); err != nil {
		return err
	}
	if _, err := capture.Gateways(); err != nil {
		return err
	}
	fmt.Println("ready") //nolint:forbidigo // the parent waits for it
	for seen := 0; seen == 0; {
		for i := range tap.Workers() {
			n, err := tap.Ring(i).Walk(func(*frame.Frame) {})
			if err != nil {
				return err
			}
			seen += n
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return tap.Close()
}

// startChild starts this binary as nobody with the given capabilities, in the capture host's namespace.
func startChild(t *testing.T, l *testnet.Link, e capture.Engine, caps ...uintptr) (*exec.Cmd, *bytes.Buffer, *lines) {
	t.Helper()
	self, err := os.Open("/proc/self/exe") // its folder may not be nobody's to enter
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = self.Close() }()
	ctx := timeout(t, 30*time.Second)
	cmd := exec.CommandContext(ctx, "/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{self}
	cmd.Dir = "/"
	cmd.Env = []string{childEnv + "=" + e.String(), "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps}
	out, complaints := &lines{seen: make(chan struct{}, 1)}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, complaints
	if err := l.Capture.Do(cmd.Start); err != nil { // a child begins in the namespace of the thread that starts it
		t.Fatal(err)
	}
	return cmd, complaints, out
}

// lines says when something was written.
type lines struct{ seen chan struct{} }

func (l *lines) Write(b []byte) (int, error) {
	select {
	case l.seen <- struct{}{}:
	default:
	}
	return len(b), nil
}

// The daemon has CAP_NET_RAW and nothing else: no CAP_NET_ADMIN, no root, no memory both writable and executable.
func TestCapNetRawIsEnough(t *testing.T) {
	requireTcpdump(t)
	l := testnet.NewLink(t, testnet.Config{})
	out := sender(t, l.Generator)
	for _, e := range engines() {
		cmd, complaints, ready := startChild(t, l, e, unix.CAP_NET_RAW)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ready.seen:
			send(t, out, numbered(l.Generator, l.Capture, 1), numbered(l.Generator, l.Capture, 2))
			if err := <-ended; err != nil {
				t.Errorf("%s: %v: %s", e, err, complaints)
			}
		case err := <-ended:
			t.Errorf("%s: %v: %s", e, err, complaints)
		}
	}
}

func TestWithoutPrivilegeTheErrorSaysTheRemedy(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	for _, e := range engines() {
		cmd, complaints, _ := startChild(t, l, e)
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 {
			t.Errorf("%s: %v", e, err)
		}
		if text := complaints.String(); !strings.Contains(text, "CAP_NET_RAW") || !strings.Contains(text, "setcap") {
			t.Errorf("%s: %s", e, text)
		}
	}
}
