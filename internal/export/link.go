package export

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/detach"
)

// link is one connected UDP socket to the collector: connected, so that ICMP errors come back and the kernel keeps the
// path's MTU. It belongs to one goroutine, but for what the listener reads; whoever holds the link closes it.
// Nothing polls the socket: its buffer is hardly ever full, and the listener waits in the kernel.
type link struct {
	Endpoints
	fd         int // detached
	headers    int // octets of IP and UDP header
	sendBuffer int // as the kernel reports it

	gone     chan struct{} // closed by close
	listened chan struct{} // closed when the listener has ended; nil without one

	oob, data []byte // for forgetErrors
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
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	l.Local, l.Remote = netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), remote
	if l.fd, err = detach.Socket(conn.(*net.UDPConn)); err != nil {
		return nil, fmt.Errorf("socket to %s: %w", remote, err)
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
	if !l.leads() {
		return errNowhere
	}
	for {
		if err := unix.Send(l.fd, datagram, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// writeReady waits for room in the send buffer, at most until the deadline (os.ErrDeadlineExceeded).
func (l *link) writeReady(datagram []byte, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		ready := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(ready, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("poll: %w", err)
		}
		if ready[0].Revents&unix.POLLERR != 0 {
			l.forgetErrors() // else poll returns at once, room or not
		}
		if ready[0].Revents == 0 {
			continue
		}
		if err := l.write(datagram); !errors.Is(err, unix.EAGAIN) {
			return err
		}
	}
}

// read waits for a datagram. net.ErrClosed says that the link is being closed.
func (l *link) read(buf []byte) (int, error) {
	for {
		n, err := unix.Read(l.fd, buf)
		select {
		case <-l.gone:
			return 0, net.ErrClosed
		default:
		}
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// payloadLimit is the longest datagram the path takes, as far as the kernel knows (ip(7), IP_MTU); without an answer
// any is.
func (l *link) payloadLimit() int {
	level, name := unix.IPPROTO_IP, unix.IP_MTU
	if l.headers == headersV6 {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	mtu := maxMaxDatagram + headersV6
	if known, err := unix.GetsockoptInt(l.fd, level, name); err == nil && known > l.headers {
		mtu = known
	}
	return mtu - l.headers
}

// forgetErrors empties the socket's error queue, which RECVERR fills: what it holds came as the result of a write too.
func (l *link) forgetErrors() {
	for {
		_, _, _, _, err := unix.Recvmsg(l.fd, l.data, l.oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func control(raw syscall.RawConn, f func(fd int) error) error {
	var inner error
	err := raw.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

// fragments lets the kernel cut datagrams into fragments, or not. A batch that was sent is one datagram for ever; where
// the path has become too narrow for it, it can only go in pieces.
func (l *link) fragments(mode int) error {
	level, name := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER
	if l.headers == headersV6 {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
	}
	return unix.SetsockoptInt(l.fd, level, name, mode)
}

// close ends the listener, if there is one, and then closes the socket. A read that waits is woken by shutdown(2) alone.
func (l *link) close() error {
	close(l.gone)
	if !l.leads() {
		return nil
	}
	err := unix.Shutdown(l.fd, unix.SHUT_RDWR)
	if l.listened != nil && err == nil {
		<-l.listened
	}
	if err = errors.Join(err, unix.Close(l.fd)); err != nil {
		return fmt.Errorf("close socket: %w", err)
	}
	return nil
}
