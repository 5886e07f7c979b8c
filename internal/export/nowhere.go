package export

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// lookOnEvery is how often a sender without a collector looks for it.
const lookOnEvery = 5 * time.Second

// nowhere is the link of a sender that has not found its collector yet. It takes no datagram (EDESTADDRREQ), and its
// ends are not valid. The socket is one that nothing comes to but from this machine.
func nowhere() (*link, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, headers: headersV4, gone: make(chan struct{}), oob: make([]byte, 512), data: make([]byte, 1)}
	if l.raw, err = conn.SyscallConn(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	l.tryOnce = func(uintptr) bool {
		l.result = unix.EDESTADDRREQ
		return true
	}
	l.tryReady = l.tryOnce
	return l, nil
}

// leads reports whether there is a collector at the other end.
func (l *link) leads() bool { return l.Remote.IsValid() }

// begin opens the first link: to the collector or, where there is none and the configuration lets the sender look on, to
// nowhere.
func (r *resolver) begin(ctx context.Context) (*link, error) {
	l, err := r.first(ctx)
	if err == nil || r.cfg.Absent != LookOn || r.cfg.Delivery != Acknowledged {
		return l, err
	}
	l, failed := nowhere()
	if failed != nil {
		return nil, errors.Join(err, failed)
	}
	r.absent = true
	r.tally.resolveFails.Add(1)
	r.tally.fail(err)
	r.log.Warn("there is no way to the collector yet: what should go there is kept, and it is looked for every few seconds", "error", err)
	return l, nil
}
