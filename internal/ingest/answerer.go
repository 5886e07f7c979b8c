package ingest

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"flowsensor/internal/wire"
)

// answerer sends answers. Acknowledgements that come close together leave as one: a sensor stands on the list until the
// one goroutine comes round, a while after the first was put there. The list holds each configured sensor at most once.
type answerer struct {
	id    string // the collector's
	after time.Duration
	now   func() time.Time
	boot  uint64
	tx    atomic.Uint64

	mu      sync.Mutex
	waiting []*sensor // protected by mu

	wake  chan struct{} // holds a token when waiting is not empty
	close chan struct{} // closed by stop
	done  chan struct{} // closed when the goroutine has ended

	sent, octets, failed, unfit atomic.Uint64
}

func newAnswerer(id string, after time.Duration, now func() time.Time) *answerer {
	return &answerer{
		id: id, after: after, now: now, boot: uint64(max(now().UnixNano(), 1)),
		wake: make(chan struct{}, 1), close: make(chan struct{}), done: make(chan struct{}),
	}
}

// add puts a sensor on the list; its replies say that it is there.
func (a *answerer) add(s *sensor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, s)
	if len(a.waiting) == 1 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// run is the goroutine's; stop ends it.
func (a *answerer) run() {
	defer close(a.done)
	pause := time.NewTimer(a.after)
	defer pause.Stop()
	for {
		select {
		case <-a.wake:
		case <-a.close:
			a.flush()
			return
		}
		pause.Reset(a.after)
		select {
		case <-pause.C:
		case <-a.close:
			a.flush()
			return
		}
		a.flush()
	}
}

// stop sends what waits and ends the goroutine.
func (a *answerer) stop() {
	close(a.close)
	<-a.done
}

func (a *answerer) flush() {
	a.mu.Lock()
	waiting := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	now := a.now()
	for _, s := range waiting {
		if s.flush(a.id, now, func(to *sender, answer *wire.Answer) { a.send(s.id, to, answer) }) {
			a.add(s)
		}
	}
}

// send seals an answer and sends it.
func (a *answerer) send(id string, to *sender, answer *wire.Answer) {
	if to.length == 0 || to.socket == nil {
		return
	}
	h := wire.Header{Kind: wire.Ack, ID: id, Boot: a.boot, TX: a.tx.Add(1)}
	datagram := encode(id, h, to, answer, a.now())
	if datagram == nil {
		a.unfit.Add(1)
		return
	}
	if _, _, err := to.socket.WriteMsgUDPAddrPort(datagram, source(to.local), to.from); err != nil {
		a.failed.Add(1)
		return
	}
	a.sent.Add(1)
	a.octets.Add(uint64(len(datagram)))
}

// source makes the control message that has the answer leave from the address that the sensor sent to: it takes none
// from another, and a host with several addresses would choose by its routes.
func source(local netip.Addr) []byte {
	local = local.Unmap() // a socket for both families takes the IPv4 form for IPv4 (ip_cmsg_send in net/ipv4/ip_sockglue.c)
	switch {
	case !local.IsValid() || local.IsUnspecified() || local.IsMulticast():
		return nil
	case local.Is4():
		return (&ipv4.ControlMessage{Src: local.AsSlice()}).Marshal()
	default:
		return (&ipv6.ControlMessage{Src: local.AsSlice()}).Marshal()
	}
}
