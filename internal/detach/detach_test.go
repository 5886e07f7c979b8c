package detach_test

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/detach"
	"flowsensor/internal/detach/detachtest"
)

func listen(t *testing.T) (*net.UDPConn, int) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	polled := -1
	if err := raw.Control(func(fd uintptr) { polled = int(fd) }); err != nil {
		t.Fatal(err)
	}
	return conn, polled
}

func TestNoPollerWatchesADetachedSocket(t *testing.T) {
	conn, polled := listen(t)
	if !detachtest.Watched(t, polled) {
		t.Error("the poller does not watch a socket of package net: nothing here needs to be")
	}
	fd, err := detach.Socket(conn)
	if err != nil {
		t.Fatal(err)
	}
	if detachtest.Watched(t, fd) {
		t.Error("the poller watches a detached socket")
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %#x, %v: not a blocking descriptor", flags, err)
	}
	if flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v: programs inherit the descriptor", flags, err)
	}
	name, err := unix.Getsockname(fd)
	if v4, ok := name.(*unix.SockaddrInet4); err != nil || !ok || v4.Port == 0 {
		t.Errorf("%v, %v: not the socket that was bound", name, err)
	}
	if err := unix.Close(fd); err != nil {
		t.Error(err)
	}
}

func TestAClosedSocketIsAnError(t *testing.T) {
	conn, _ := listen(t)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if fd, err := detach.Socket(conn); !errors.Is(err, net.ErrClosed) || fd >= 0 {
		t.Errorf("descriptor %d, %v", fd, err)
	}
}
