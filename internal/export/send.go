package export

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// How long one datagram may keep the sender, and the first pause between two tries, which doubles.
const (
	sendBound  = 250 * time.Millisecond
	pauseFirst = time.Millisecond
)

// errTooBig says that the path takes no datagram of this length.
var errTooBig = errors.New("datagram is longer than the path's MTU allows")

// batch is what travels as one datagram. The body carries its identity, number and base stamp, and does not change with
// the tx and the token it goes out under.
type batch struct {
	kind    wire.Kind
	body    []byte
	sum     Amount
	numbers *wire.Numbers // to go out instead of those in body, which is kept as it is; nil: none
}

// transmitter puts one plaintext after the other on the wire. It belongs to the sender's goroutine.
type transmitter struct {
	header   wire.Header // without a Kind; TX is that of the last datagram sent
	link     *link
	counters *counters
	health   *health
	clock    func() time.Time

	losing          time.Time // when the first of the datagrams was lost that no success followed; zero: none
	plain, datagram []byte
}

// transmit seals and sends the batch under the next tx. A datagram that the kernel did not take has used no tx. The
// reason is only meant with an error; for errTooBig nothing is lost yet.
func (t *transmitter) transmit(ctx context.Context, sealer *seal.Sealer, b *batch) (Reason, error) {
	if ctx.Err() != nil {
		return Shutdown, fmt.Errorf("not sent: %w", ctx.Err())
	}
	h := t.header
	h.Kind = b.kind
	h.TX++
	t.plain = append(wire.AppendHeader(t.plain[:0], h), b.body...)
	if b.numbers != nil {
		wire.Renumber(t.plain[len(t.plain)-len(b.body):], *b.numbers)
	}
	var err error
	if t.datagram, err = sealer.Seal(t.datagram[:0], t.plain, t.clock()); err != nil {
		return SealError, err
	}
	if err := t.put(ctx); err != nil {
		return SendError, err
	}
	t.header.TX = h.TX
	t.counters.datagrams.Add(1)
	t.counters.octets.Add(uint64(len(t.datagram)))
	return 0, nil
}

// put writes the datagram, again where that can help. What the kernel refuses for the moment is tried for sendBound; the
// queue fills meanwhile. After troubleLasts of losses it is not: a capture file's reader waits behind the queue.
func (t *transmitter) put(ctx context.Context) error {
	err := t.link.write(t.datagram)
	if err == nil {
		t.losing = time.Time{}
		return nil
	}
	began := time.Now()
	deadline := began.Add(sendBound)
	if !t.losing.IsZero() && began.Sub(t.losing) >= troubleLasts {
		deadline = began
	}
	pause := pauseFirst
	for try := 0; err != nil; try++ {
		if errors.Is(err, unix.EMSGSIZE) {
			t.link.forgetErrors()
			return errTooBig
		}
		if errors.Is(err, unix.EAGAIN) {
			t.counters.congested.Add(1)
			err = t.link.writeReady(t.datagram, deadline)
		} else {
			t.note(err)
			// The first error may belong to a datagram before this one: no pause for it.
			if try > 0 {
				if !time.Now().Before(deadline) || !wait(ctx, pause) {
					return t.fail(err)
				}
				pause *= 2
			}
			err = t.link.write(t.datagram)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return t.fail(err)
		}
	}
	t.losing = time.Time{}
	return nil
}

// note counts an error that has not lost the datagram in hand yet. It may be that of an earlier one, which ICMP brought
// back; then the kernel did not send this one.
func (t *transmitter) note(err error) {
	t.link.forgetErrors()
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		t.counters.refused.Add(1)
	case errors.Is(err, unix.ENOBUFS):
		t.counters.congested.Add(1)
		return // the other end is not to blame: no reason to look for another
	default:
		t.counters.sendErrors.Add(1)
	}
	t.tell(err)
}

// fail gives the error that has lost the datagram.
func (t *transmitter) fail(err error) error {
	if t.losing.IsZero() {
		t.losing = time.Now()
	}
	t.tell(err)
	return fmt.Errorf("send: %w", err)
}

func (t *transmitter) tell(err error) {
	t.counters.fail(fmt.Errorf("send to %s: %w", t.link.Remote, err))
	t.health.report(err, t.link.Endpoints, time.Now())
}

// wait pauses, and reports false where ctx ended before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
