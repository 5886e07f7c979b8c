package testnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"flowsensor/internal/testnet"
)

func TestMain(m *testing.M) {
	if os.Getenv("TESTNET_ORPHAN") != "" {
		orphan()
	}
	os.Exit(m.Run()) //nolint:forbidigo // TestMain is where a test binary ends
}

// orphan is what this binary does for TestSweep: it starts a program inside a network and dies without closing it.
func orphan() {
	l, err := testnet.OpenLink(testnet.Config{})
	if err == nil {
		cmd := l.Capture.Command(context.Background(), "sleep", "300")
		err = errors.Join(cmd.Start(), awaitName(cmd.Process.Pid, "sleep"))
	}
	if err != nil {
		panic(err)
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNothingIsLeftBehind(t *testing.T) {
	testnet.RequireRoot(t)
	defer goleak.VerifyNone(t)
	before, devices := 0, deviceNames(t)
	for round := range 4 {
		if round == 1 {
			before = openFiles(t) // the first round may have opened the runtime's own poller
		}
		n, err := testnet.Open(testnet.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(n.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d open files before and %d after", before, after)
	}
	if after := deviceNames(t); after != devices {
		t.Errorf("devices before: %s, after: %s", devices, after)
	}
}

func deviceNames(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, device := range all {
		names = append(names, device.Name)
	}
	return strings.Join(names, " ")
}

func TestCloseEndsWhatIsLeftInside(t *testing.T) {
	testnet.RequireRoot(t)
	l, err := testnet.OpenLink(testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cmd := l.Capture.Command(t.Context(), "sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := awaitName(cmd.Process.Pid, "sleep"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "sleep") {
		t.Errorf("closing over a program says: %v", err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the program ended by itself")
	}
}

// awaitName waits until a started program is past nsenter.
func awaitName(pid int, name string) error {
	for range 200 {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.TrimSpace(string(comm)) == name {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("process %d did not become %s", pid, name)
}

func TestSweepEndsOrphans(t *testing.T) {
	testnet.RequireRoot(t)
	l := testnet.NewLink(t, testnet.Config{})
	mine := l.Capture.Command(t.Context(), "sleep", "300")
	if err := mine.Start(); err != nil {
		t.Fatal(err)
	}
	self := exec.CommandContext(t.Context(), os.Args[0])
	self.Env = append(os.Environ(), "TESTNET_ORPHAN=1")
	_ = self.Run() // it kills itself
	swept, err := testnet.Sweep()
	if err != nil || swept != 1 {
		t.Errorf("%d programs swept, want 1 (%v)", swept, err)
	}
	if err := mine.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("a program of a living owner is gone: %v", err)
	}
	_ = mine.Process.Kill()
	_ = mine.Wait()
}

func TestDoGivesTheThreadBack(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	outside := deviceNames(t)
	inside := ""
	if err := l.Capture.Do(func() error { inside = deviceNames(t); return nil }); err != nil || inside != "lo eth0" {
		t.Errorf("inside: %s (%v)", inside, err)
	}
	broken := errors.New("broken")
	if err := l.Capture.Do(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the error became %v", err)
	}
	for range 50 {
		done := make(chan string)
		go func() { done <- deviceNames(t) }()
		if got := <-done; got != outside {
			t.Fatalf("a goroutine outside sees %s", got)
		}
	}
}

func TestLinkComesBackWithQueuesAndMTU(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{MTU: 9000, Queues: 4})
	rx := receive(t, l.Capture)
	out := sender(t, l.Generator)
	big := append(frame(l.Generator, l.Capture, 1), make([]byte, 9014-60)...)
	if err := out.Send(big); err != nil || len(rx.frames(t)) != 1 {
		t.Errorf("a jumbo frame did not pass: %v", err)
	}
	if err := errors.Join(l.Capture.Down(), l.Capture.Up(), l.Delete(), l.Create(), l.Generator.Down(), l.Generator.Up()); err != nil {
		t.Fatal(err)
	}
	err := l.Capture.Do(func() (err error) {
		device, err := net.InterfaceByName(l.Capture.Interface)
		if err == nil && device.MTU != 9000 {
			t.Errorf("the MTU is %d", device.MTU)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	server, err := l.Capture.ListenPacket("udp", net.JoinHostPort(l.Capture.IPv6.String(), "7"))
	if err != nil {
		t.Fatal(err)
	}
	hello(t, l.Generator, server)
}

// A new network takes the first datagram at once: there is nothing to wait for or to repeat.
func TestFirstDatagramPasses(t *testing.T) {
	testnet.RequireRoot(t)
	for range 40 {
		l, err := testnet.OpenLink(testnet.Config{})
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range []netip.Addr{l.Capture.IPv4, l.Capture.IPv6} {
			server, err := l.Capture.ListenPacket("udp", netip.AddrPortFrom(addr, 7).String())
			if err != nil {
				t.Fatal(err)
			}
			hello(t, l.Generator, server)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// hello sends one datagram to the server, which it closes, and fails the test when it does not come.
func hello(t *testing.T, from *testnet.Host, server net.PacketConn) {
	t.Helper()
	defer func() { _ = server.Close() }()
	client, err := from.Dial(t.Context(), "udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 16)
	if n, _, err := server.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("to %s: %q, %v", server.LocalAddr(), buf[:n], err)
	}
}
