package export

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// link is one connected UDP socket to the collector: connected, so that ICMP errors come back and the kernel keeps the
// path's MTU. Writes belong to one goroutine; whoever holds the link closes it.
type link struct {
	Endpoints
	conn       *net.UDPConn
	raw        syscall.RawConn
	headers    int // octets of IP and UDP header
	sendBuffer int // as the kernel reports it

	gone     chan struct{} // closed by close
	listened chan struct{} // closed when the listener has ended; nil without one

	// The write in hand, kept here so that a send allocates nothing.
	datagram  []byte
	result    error
	tryOnce   func(fd uintptr) bool
	tryReady  func(fd uintptr) bool
	oob, data []byte
}

// dial opens a link. Nothing is sent.
func dial(ctx context.Context, remote netip.AddrPort, sendBuffer int) (*link, error) {
	network, headers, options := family(remote.Addr())
	l := &link{headers: headers, oob: make([]byte, 512), data: make([]byte, 1), gone: make(chan struct{})}
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return l.setUp(fd, options, sendBuffer) })
	}}
	conn, err := dialer.DialContext(ctx, network, remote.String())
	if err != nil {
		return nil, err
	}
	l.conn = conn.(*net.UDPConn)
	if l.raw, err = l.conn.SyscallConn(); err != nil {
		return nil, errors.Join(err, l.conn.Close())
	}
	local := l.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	l.Local, l.Remote = netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), remote
	l.tryOnce = func(fd uintptr) bool {
		_, l.result = unix.Write(int(fd), l.datagram)
		return true
	}
	l.tryReady = func(fd uintptr) bool {
		_, l.result = unix.Write(int(fd), l.datagram)
		return !errors.Is(l.result, unix.EAGAIN)
	}
	return l, nil
}

func (l *link) setUp(fd int, options []socketOption, sendBuffer int) (err error) {
	if sendBuffer > 0 {
		options = append(options, socketOption{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("set %s: %w", o.what, err)
		}
	}
	l.sendBuffer, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	return err
}

// socketOption is one that a link cannot do without.
type socketOption struct {
	what               string
	level, name, value int
}

// family gives what differs between links over IPv4 and IPv6.
//
// DF is always set: a datagram whose fragment is lost is lost whole, and some paths drop all fragments. RECVERR makes
// the kernel tell of a datagram that the queueing discipline dropped; without it ENOBUFS is swallowed (udp_send_skb in
// net/ipv4/udp.c).
func family(remote netip.Addr) (network string, headers int, options []socketOption) {
	if remote.Is4() {
		return "udp4", headersV4, []socketOption{
			{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO},
			{"IP_RECVERR", unix.IPPROTO_IP, unix.IP_RECVERR, 1},
		}
	}
	return "udp6", headersV6, []socketOption{
		{"IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO},
		{"IPV6_RECVERR", unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1},
	}
}

// write hands the datagram to the kernel without waiting. An error may be that of an earlier datagram which ICMP brought
// back; this one was not sent then.
func (l *link) write(datagram []byte) error {
	l.datagram = datagram
	if err := l.raw.Write(l.tryOnce); err != nil {
		return err
	}
	return l.result
}

// writeReady waits for room in the send buffer, at most until the deadline (os.ErrDeadlineExceeded).
func (l *link) writeReady(datagram []byte, deadline time.Time) error {
	l.datagram = datagram
	if err := l.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	err := l.raw.Write(l.tryReady)
	if err == nil {
		err = l.result
	}
	return errors.Join(err, l.conn.SetWriteDeadline(time.Time{}))
}

// payloadLimit is the longest datagram the path takes, as far as the kernel knows (ip(7), IP_MTU); without an answer
// any is.
func (l *link) payloadLimit() int {
	level, name := unix.IPPROTO_IP, unix.IP_MTU
	if l.headers == headersV6 {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	mtu := maxMaxDatagram + headersV6
	_ = control(l.raw, func(fd int) error {
		known, err := unix.GetsockoptInt(fd, level, name)
		if err == nil && known > l.headers {
			mtu = known
		}
		return err
	})
	return mtu - l.headers
}

// forgetErrors empties the socket's error queue, which RECVERR fills: what it holds came as the result of a write too.
func (l *link) forgetErrors() {
	_ = control(l.raw, func(fd int) error {
		for {
			_, _, _, _, err := unix.Recvmsg(fd, l.data, l.oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return err
			}
		}
	})
}

func control(raw syscall.RawConn, f func(fd int) error) error {
	var inner error
	err := raw.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

func (l *link) close() error {
	close(l.gone)
	err := l.conn.Close()
	if l.listened != nil {
		<-l.listened
	}
	if err != nil {
		return fmt.Errorf("close socket: %w", err)
	}
	return nil
}
