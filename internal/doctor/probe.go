package doctor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

const (
	// probeTries is how often a probe is sent: any datagram may be lost.
	probeTries = 3
	// probePatience is how long each waits for its answer.
	probePatience = time.Second
	// maxAnswer is longer than any answer to a probe.
	maxAnswer = 4096
)

// Probe implements Box. A probe makes no state at the collector, and its number is its own: a sensor of the same id that runs
// is not disturbed.
func (m *Machine) Probe(ctx context.Context, address, id string, key seal.Key) (Answer, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return Answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // it is about to be closed anyhow
	defer stop()
	a, err := m.ask(ctx, conn, id, key)
	return a, errors.Join(err, conn.Close())
}

func (m *Machine) ask(ctx context.Context, conn net.Conn, id string, key seal.Key) (Answer, error) {
	sealer, err := seal.NewSealer(id, key)
	if err != nil {
		return Answer{}, err
	}
	// An answer's stamp stays true, however the clocks differ.
	opener, err := seal.NewOpener([]seal.Sensor{{ID: id, Keys: []seal.Key{key}}}, seal.Limits{TTL: -1, Skew: -1})
	if err != nil {
		return Answer{}, err
	}
	last := ErrNoAnswer
	for range probeTries {
		h := wire.Header{Kind: wire.Probe, ID: id, Boot: m.boot, TX: rand.Uint64()}
		sent := time.Now()
		datagram, err := sealer.Seal(nil, wire.AppendProbe(wire.AppendHeader(nil, h)), sent)
		if err != nil {
			return Answer{}, err
		}
		if _, err := conn.Write(datagram); err != nil {
			last = err // often that of the one before
			continue
		}
		a, err := listen(conn, opener, h, sent)
		switch {
		case err == nil:
			a.From = conn.RemoteAddr().String()
			return a, nil
		case ctx.Err() != nil:
			return Answer{}, fmt.Errorf("probe: %w", ctx.Err())
		}
		last = err
	}
	return Answer{}, last
}

// listen waits for the answer to the probe of that header.
func listen(conn net.Conn, opener *seal.Opener, h wire.Header, sent time.Time) (Answer, error) {
	if err := conn.SetReadDeadline(sent.Add(probePatience)); err != nil {
		return Answer{}, err
	}
	buf := make([]byte, maxAnswer)
	for {
		n, err := conn.Read(buf)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return Answer{}, ErrNoAnswer
		}
		if err != nil {
			return Answer{}, err
		}
		now := time.Now()
		if answer, ok := heed(buf[:n], opener, h, now); ok {
			a := Answer{Collector: answer.Collector, RoundTrip: now.Sub(sent)}
			for _, r := range answer.Refusals {
				a.Refused = a.Refused || r.Reason == wire.RefusedClock
			}
			// The collector read its clock half-way, near enough.
			a.Offset = sent.Add(a.RoundTrip / 2).Sub(time.Unix(0, answer.Time))
			return a, nil
		}
	}
}

// heed opens an answer; false where it is none to that probe.
func heed(datagram []byte, opener *seal.Opener, h wire.Header, now time.Time) (wire.Answer, bool) {
	opened, reason := opener.Open(nil, datagram, netip.Addr{}, now)
	if reason != seal.ReasonOK {
		return wire.Answer{}, false
	}
	head, body, err := wire.ParseHeader(opened.Plaintext)
	if err != nil || head.Kind != wire.Ack || head.ID != h.ID {
		return wire.Answer{}, false
	}
	a, err := wire.ParseAnswer(body)
	return a, err == nil && a.Boot == h.Boot && a.TX == h.TX && a.Time != 0
}
