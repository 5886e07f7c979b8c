// Package detach takes sockets out of Go's network poller.
//
// The poller has epoll tell it of everything that happens to a socket, edge by edge, whether or not anybody waits for it: of
// each block that a packet ring closes (prb_close_block in net/packet/af_packet.c), and of each datagram that has left a send
// buffer (sock_def_write_space in net/core/sock.c). Each time a thread wakes, finds no goroutine to run and goes to
// sleep again, which costs more than the block's packets or the datagram. A socket whose owner waits by itself, or never, is better
// off without.
package detach

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn is what Socket takes: what package net and github.com/mdlayher/socket make.
type Conn interface {
	syscall.Conn
	io.Closer
}

// Socket gives a descriptor of conn's socket that no poller knows, and closes conn, also where it fails. The descriptor is the
// caller's to close, is not inherited by programs, and blocks: a call that must not wait says so (MSG_DONTWAIT).
func Socket(conn Conn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, errors.Join(err, conn.Close())
	}
	var inner error
	err = raw.Control(func(polled uintptr) { fd, inner = second(polled) })
	if err = errors.Join(err, inner); err != nil {
		return -1, errors.Join(err, conn.Close())
	}
	// This is what takes the socket out of the poller: it is told to forget the first descriptor (EPOLL_CTL_DEL).
	if err := conn.Close(); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func second(polled uintptr) (int, error) {
	fd, err := unix.FcntlInt(polled, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("duplicate a descriptor: %w", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil { // for both: they share one open file description
		return -1, errors.Join(fmt.Errorf("make a descriptor blocking: %w", err), unix.Close(fd))
	}
	return fd, nil
}
