package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
)

const (
	batchSize = 64
	// turnTime is how often a reader on a silent socket shows that it lives.
	turnTime = time.Second
	// maxReadErrors in a row end a reader: errors of a UDP socket that is not connected pass, or stay.
	maxReadErrors = 16
	// minSkb is about the least kernel memory that a queued datagram is charged with.
	minSkb = 512
)

// reader reads one socket and has each datagram processed. It belongs to one goroutine, but for its counts.
type reader struct {
	processor
	messages []ipv4.Message
	woken    <-chan struct{} // closed once the deadline that ends the reading is set
	dropped  uint32          // the kernel's count at the last datagram that told it

	datagrams, bytes, kernelDrops, unstamped, readErrors, turns atomic.Uint64
}

func newReader(s *Server, sock *socket) *reader {
	r := &reader{processor: processor{Server: s, socket: sock}, messages: make([]ipv4.Message, batchSize)}
	size, space := s.cfg.MaxDatagram, ancillarySpace()
	buffers, oob := make([]byte, batchSize*size), make([]byte, batchSize*space)
	for i := range r.messages {
		r.messages[i].Buffers = [][]byte{buffers[i*size : (i+1)*size : (i+1)*size]}
		r.messages[i].OOB = oob[i*space : (i+1)*space : (i+1)*space]
	}
	return r
}

// run reads until ctx ends, and then what the kernel has queued by that time, or until the socket is closed.
func (r *reader) run(ctx context.Context) error {
	failed := 0
	for {
		n, err := r.socket.batch.ReadBatch(r.messages, 0)
		switch {
		case err == nil:
			failed = 0
			r.take(r.messages[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Before the context is looked at, so that a wake in between is not undone.
			if err := r.socket.SetReadDeadline(r.now().Add(turnTime)); err != nil {
				return closedIsEnd(err)
			}
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			r.readErrors.Add(1)
			if failed++; failed >= maxReadErrors {
				return fmt.Errorf("read UDP %v: %w", r.socket.local, err)
			}
		}
		r.turns.Add(1)
		if ctx.Err() != nil {
			return r.drain()
		}
	}
}

// drain takes what stands in the receive buffer, and no more than fits into it, so that a flood cannot hold the end up.
func (r *reader) drain() error {
	<-r.woken
	if err := r.socket.SetReadDeadline(time.Time{}); err != nil {
		return closedIsEnd(err)
	}
	for range 2*r.socket.bufferGot/(minSkb*batchSize) + 1 {
		n, err := r.socket.batch.ReadBatch(r.messages, syscall.MSG_DONTWAIT)
		if errors.Is(err, syscall.EAGAIN) {
			return nil
		}
		if err != nil {
			return closedIsEnd(err)
		}
		r.take(r.messages[:n])
	}
	return nil
}

func closedIsEnd(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// take processes a batch of datagrams.
func (r *reader) take(messages []ipv4.Message) {
	now := r.now()
	var octets uint64
	for i := range messages {
		m := &messages[i]
		anc := parseAncillary(m.OOB[:m.NN])
		r.noteDrops(&anc)
		if anc.received.IsZero() {
			anc.received = now
			r.unstamped.Add(1)
		}
		octets += uint64(m.N)
		r.process(&arrival{
			payload: m.Buffers[0][:m.N], truncated: m.Flags&syscall.MSG_TRUNC != 0, from: addressOf(m.Addr), local: anc.local, received: anc.received,
		}, now)
	}
	r.datagrams.Add(uint64(len(messages)))
	r.bytes.Add(octets)
}

// noteDrops turns the kernel's 32-bit count, which wraps, into ours. The count may seem to step back where several CPUs
// queue datagrams at once.
func (r *reader) noteDrops(anc *ancillary) {
	if !anc.hasDropped {
		return
	}
	if more := int32(anc.dropped - r.dropped); more > 0 {
		r.kernelDrops.Add(uint64(more))
		r.dropped = anc.dropped
	}
}

// addressOf gives the source address; IPv4 on a socket for both families comes as IPv6.
func addressOf(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return udp.AddrPort()
}

func (r *reader) stats() SocketStats {
	return SocketStats{
		Local:       r.socket.local,
		BufferAsked: r.socket.bufferAsked,
		BufferGot:   r.socket.bufferGot,
		Datagrams:   r.datagrams.Load(),
		Bytes:       r.bytes.Load(),
		KernelDrops: r.kernelDrops.Load(),
		Unstamped:   r.unstamped.Load(),
		ReadErrors:  r.readErrors.Load(),
		Turns:       r.turns.Load(),
	}
}
