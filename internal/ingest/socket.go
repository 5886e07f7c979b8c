package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// socket is one UDP socket with the options that the receive order needs: the kernel's receive time and its count of
// dropped datagrams come with every datagram.
type socket struct {
	*net.UDPConn
	batch batchReader
	local netip.AddrPort
	// bufferAsked and bufferGot are the receive buffer in bytes, both in setsockopt's measure (the kernel doubles what it
	// is asked, for its bookkeeping, and gives the doubled figure back; socket(7)).
	bufferAsked, bufferGot int
}

// batchReader reads many datagrams by one recvmmsg(2). That of package ipv4 serves IPv6 sockets as well: it takes the
// family from each source address.
type batchReader interface {
	ReadBatch(messages []ipv4.Message, flags int) (int, error)
}

// openSockets gives the sockets that the configuration asks for: those passed in, or else `Processors` for each listen
// address. Where it fails it leaves nothing open, the passed ones included.
func openSockets(cfg *Config, log *slog.Logger) (sockets []*socket, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeSockets(sockets))
			sockets = nil
		}
	}()
	for i, pc := range cfg.Conns {
		s, err := adopt(pc, cfg.ReceiveBuffer)
		if err != nil {
			return sockets, errors.Join(fmt.Errorf("passed socket %d: %w", i, err), closeConns(cfg.Conns[i:]))
		}
		sockets = append(sockets, s)
	}
	if len(sockets) == 0 {
		for _, addr := range cfg.Listen {
			opened, err := listen(addr, cfg.Processors, cfg.ReceiveBuffer)
			sockets = append(sockets, opened...)
			if err != nil {
				return sockets, fmt.Errorf("listen on UDP %v: %w", addr, err)
			}
		}
	}
	announce(sockets, log)
	return sockets, nil
}

// listen binds n sockets to one address. The first is bound without SO_REUSEPORT, so that an address which any other
// process holds is refused here: with the option set a second collector under the same user would silently take half
// of the datagrams. The option set after the bind then lets the rest join. The kernel spreads senders over the sockets
// by a hash of addresses and ports, so one sensor's datagrams stay on one socket and in order.
func listen(addr netip.AddrPort, n, buffer int) ([]*socket, error) {
	first, err := bind(addr, buffer)
	if err != nil {
		return nil, err
	}
	sockets := []*socket{first}
	if n == 1 {
		return sockets, nil
	}
	if err := first.control(reusePort); err != nil {
		return sockets, err
	}
	addr = netip.AddrPortFrom(addr.Addr(), first.local.Port()) // the port the kernel chose, where it was asked to
	for len(sockets) < n {
		s, err := bind(addr, buffer, reusePort)
		if err != nil {
			return sockets, err
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// bind opens one socket. Its options are set before it is bound, so that no datagram arrives without them.
func bind(addr netip.AddrPort, buffer int, more ...sockopt) (*socket, error) {
	network := "udp4"
	if addr.Addr().Unmap().Is6() {
		network = "udp6" // package net sets IPV6_V6ONLY here, so that 0.0.0.0 and :: can share a port
	}
	var got int
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return prepare(rc, append([]sockopt{receiveBuffer(buffer, &got)}, more...)...)
	}}
	pc, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, err
	}
	return newSocket(pc.(*net.UDPConn), buffer, got), nil
}

// adopt makes a socket of one that was opened elsewhere, by systemd's socket activation for example.
func adopt(pc net.PacketConn, buffer int) (*socket, error) {
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return nil, fmt.Errorf("want a UDP socket, got %T", pc)
	}
	rc, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var got int
	if err := prepare(rc, atLeast(buffer, &got)); err != nil {
		return nil, err
	}
	return newSocket(conn, buffer, got), nil
}

func newSocket(conn *net.UDPConn, asked, got int) *socket {
	return &socket{
		UDPConn:     conn,
		batch:       ipv4.NewPacketConn(conn),
		local:       conn.LocalAddr().(*net.UDPAddr).AddrPort(),
		bufferAsked: asked,
		bufferGot:   got,
	}
}

// announce says what is listened on, a line for all sockets of an address, and what the kernel made of the receive buffer that
// was asked.
func announce(sockets []*socket, log *slog.Logger) {
	for len(sockets) > 0 {
		s := sockets[0]
		n := slices.IndexFunc(sockets, func(o *socket) bool { return o.local != s.local || o.bufferGot != s.bufferGot })
		if n < 0 {
			n = len(sockets)
		}
		sockets = sockets[n:]
		if s.bufferGot < s.bufferAsked {
			log.Warn("receive buffer is smaller than asked: raise it by sysctl net.core.rmem_max, or give CAP_NET_ADMIN",
				"listen", s.local, "sockets", n, "asked_bytes", s.bufferAsked, "got_bytes", s.bufferGot)
			continue
		}
		log.Info("listening", "listen", s.local, "sockets", n, "receive_buffer_bytes", s.bufferGot)
	}
}

func (s *socket) control(opt sockopt) error {
	rc, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return onDescriptor(rc, opt)
}

// sockopt sets something on a socket's descriptor.
type sockopt func(fd int) error

func reusePort(fd int) error {
	return sockoptError("SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// receiveStamps asks for the kernel's receive time with each datagram.
func receiveStamps(fd int) error {
	return sockoptError("SO_TIMESTAMPNS", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
}

// dropCounts asks for the number of datagrams that the kernel dropped, with each datagram received after a drop.
func dropCounts(fd int) error {
	return sockoptError("SO_RXQ_OVFL", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1))
}

// localAddresses asks for the address that each datagram was sent to, which its answer is to come from.
func localAddresses(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return sockoptError("SO_DOMAIN", err)
	}
	if domain == unix.AF_INET6 {
		return sockoptError("IPV6_RECVPKTINFO", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
	}
	return sockoptError("IP_PKTINFO", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
}

// receiveBuffer raises the receive buffer to n bytes as far as the kernel lets us, and says what it came to.
// SO_RCVBUFFORCE passes the limit net.core.rmem_max and needs CAP_NET_ADMIN.
func receiveBuffer(n int, got *int) sockopt {
	return func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n); err != nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n)
			if err != nil {
				return sockoptError("SO_RCVBUF", err)
			}
		}
		doubled, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		*got = doubled / 2
		return sockoptError("SO_RCVBUF", err)
	}
}

// atLeast leaves a receive buffer alone that has n bytes: systemd makes it with privileges (ReceiveBuffer=) that are not ours,
// so that setting it again could cut it down to net.core.rmem_max.
func atLeast(n int, got *int) sockopt {
	return func(fd int) error {
		doubled, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		if *got = doubled / 2; err == nil && *got >= n {
			return nil
		}
		return receiveBuffer(n, got)(fd)
	}
}

func prepare(rc syscall.RawConn, more ...sockopt) error {
	for _, opt := range append([]sockopt{receiveStamps, dropCounts, localAddresses}, more...) {
		if err := onDescriptor(rc, opt); err != nil {
			return err
		}
	}
	return nil
}

func onDescriptor(rc syscall.RawConn, opt sockopt) error {
	var operr error
	if err := rc.Control(func(fd uintptr) { operr = opt(int(fd)) }); err != nil {
		return err
	}
	return operr
}

func sockoptError(option string, err error) error {
	if err != nil {
		return fmt.Errorf("set socket option %s: %w", option, err)
	}
	return nil
}

func closeSockets(sockets []*socket) error {
	errs := make([]error, 0, len(sockets))
	for _, s := range sockets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func closeConns(conns []net.PacketConn) error {
	errs := make([]error, 0, len(conns))
	for _, c := range conns {
		if c != nil { // go-systemd gives nil for a passed file that is no packet socket
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
