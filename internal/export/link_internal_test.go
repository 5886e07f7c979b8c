package export

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"flowsensor/internal/detach/detachtest"
)

func testLink(t *testing.T) *link {
	t.Helper()
	peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	l, err := dial(t.Context(), peer.LocalAddr().(*net.UDPAddr).AddrPort(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The kernel would wake a thread of ours after each datagram.
func TestNoPollerWatchesALink(t *testing.T) {
	l := testLink(t)
	defer func() { _ = l.close() }()
	if detachtest.Watched(t, l.fd) {
		t.Error("the poller watches the link's socket")
	}
}

// What waits in read is woken by close, and reads nothing of what another socket gets under the same number afterwards.
func TestCloseEndsARead(t *testing.T) {
	l := testLink(t)
	l.listened = make(chan struct{})
	var err error
	go func() {
		defer close(l.listened)
		_, err = l.read(make([]byte, 1))
	}()
	time.Sleep(20 * time.Millisecond) // until it waits; were it not there yet, it had to end all the same
	if closeErr := l.close(); closeErr != nil {
		t.Fatal(closeErr)
	}
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read ended with %v", err)
	}
}

// An error that waits in the socket's error queue makes poll(2) return at once: that is no room in the buffer.
func TestRoomIsWaitedForWithoutSpinning(t *testing.T) {
	l := testLink(t)
	defer func() { _ = l.close() }()
	const wait = 100 * time.Millisecond
	start := time.Now()
	if err := l.writeReady(make([]byte, 1), start.Add(-time.Second)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if err := l.writeReady(make([]byte, 1), start.Add(wait)); err != nil {
		t.Errorf("with room: %v", err)
	}
	if took := time.Since(start); took > wait {
		t.Errorf("%s with room", took)
	}
}
