package daemon_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"flowsensor/internal/daemon"
)

// passedTo runs the test of that name in a child with these sockets, as systemd would pass them.
func passedTo(t *testing.T, name string, files ...*os.File) {
	t.Helper()
	// LISTEN_PID is the child's own, which only the child's shell knows.
	child := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run="^$1\$" -test.v`, os.Args[0], name)
	child.Env = append(os.Environ(), "TEST_PASSED=1", "LISTEN_FDS="+string(rune('0'+len(files))))
	child.ExtraFiles = files
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
		t.Errorf("%v\n%s", err, out)
	}
}

func file(t *testing.T, conn interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestPassedSockets(t *testing.T) {
	if os.Getenv("TEST_PASSED") == "" {
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = udp.Close() }()
		passedTo(t, "TestPassedSockets", file(t, udp), file(t, udp))
		if conns, err := daemon.PassedSockets(); conns != nil || err != nil {
			t.Errorf("without systemd: %v, %v", conns, err)
		}
		return
	}
	conns, err := daemon.PassedSockets()
	if err != nil || len(conns) != 2 {
		t.Fatalf("%v, %v", conns, err)
	}
	for _, c := range conns {
		if c.LocalAddr().Network() != "udp" {
			t.Errorf("got %v", c.LocalAddr())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if again, err := daemon.PassedSockets(); again != nil || err != nil {
		t.Errorf("passed twice: %v, %v", again, err)
	}
}

func TestPassedSocketOfAnotherKind(t *testing.T) {
	if os.Getenv("TEST_PASSED") == "" {
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tcp.Close() }()
		passedTo(t, "TestPassedSocketOfAnotherKind", file(t, tcp))
		return
	}
	_, err := daemon.PassedSockets()
	if _, config := errors.AsType[daemon.ConfigError](err); !config || !strings.Contains(err.Error(), "want ListenDatagram=") {
		t.Errorf("got %v", err)
	}
}
