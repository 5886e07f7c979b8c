package export_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// hostile is a collector's port in a test's own hands: it sees what the sensor sends and answers what it likes.
type hostile struct {
	t    *testing.T
	conn *net.UDPConn
	key  seal.Key
	tx   uint64
}

func newHostile(t *testing.T, key seal.Key) *hostile {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &hostile{t: t, conn: conn, key: key}
}

func (h *hostile) address() string { return h.conn.LocalAddr().String() }

// next gives the next datagram of flows and where it came from.
func (h *hostile) next() (arrival, []byte, netip.AddrPort) {
	h.t.Helper()
	buf := make([]byte, 1<<16)
	_ = h.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := h.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		h.t.Fatal(err)
	}
	return open(h.t, [][]byte{buf[:n]}, h.key)[0], buf[:n], from
}

func (h *hostile) send(datagram []byte, to netip.AddrPort) {
	h.t.Helper()
	if _, err := h.conn.WriteToUDPAddrPort(datagram, to); err != nil {
		h.t.Fatal(err)
	}
}

// sealed makes a datagram of any kind under any key.
func (h *hostile) sealed(key seal.Key, kind wire.Kind, body []byte) []byte {
	h.t.Helper()
	sealer, err := seal.NewSealer(sensorID, key)
	if err != nil {
		h.t.Fatal(err)
	}
	h.tx++
	d, err := sealer.Seal(nil, append(wire.AppendHeader(nil, wire.Header{Kind: kind, ID: sensorID, Boot: 1, TX: h.tx}), body...), time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *hostile) answer(a wire.Answer) []byte {
	h.t.Helper()
	body, ok := wire.AppendAnswer(nil, &a, 1000)
	if !ok {
		h.t.Fatal("answer does not fit")
	}
	return h.sealed(h.key, wire.Ack, body)
}

// withOne is a sender that has one batch in flight, and the datagram of that.
func withOne(t *testing.T) (*hostile, *running, arrival, []byte, netip.AddrPort) {
	t.Helper()
	h := newHostile(t, newKey(t))
	cfg := acknowledged(h.address(), h.key)
	cfg.ResendAfter, cfg.ResendMost = time.Minute, time.Minute
	s := run(t, cfg)
	b := s.Batcher("eth0")
	feed(b, 0, 3)
	b.Close()
	a, datagram, from := h.next()
	eventually(t, "batch in flight", func() bool { return s.Stats().InFlight == 1 })
	return h, s, a, datagram, from
}

// TestAnswersThatChangeNothing: whatever is not an answer to us, by the collector, about what was sent, is counted and
// nothing else.
func TestAnswersThatChangeNothing(t *testing.T) {
	h, s, a, own, from := withOne(t)
	boot, seq, tx := a.header.Boot, a.batch.Seq, a.header.TX
	acks := func(upto uint64, bits ...byte) wire.Answer {
		return wire.Answer{Boot: boot, TX: tx, HasAcks: true, Acks: wire.Acks{Boot: boot, Upto: upto, Bits: bits}}
	}
	with := func(change func(*wire.Answer)) wire.Answer {
		all := acks(seq)
		change(&all)
		return all
	}
	good, _ := wire.AppendAnswer(nil, &[]wire.Answer{acks(seq)}[0], 1000)
	flip := h.answer(acks(seq))
	flip[len(flip)-20] ^= 1
	version := append([]byte(nil), wire.AppendHeader(nil, wire.Header{Kind: wire.Ack, ID: sensorID, Boot: 1, TX: 1})...)
	version[2]++
	sealer, err := seal.NewSealer(sensorID, h.key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := sealer.Seal(nil, append(version, good...), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var want [export.AnswerReasons]uint64
	for _, c := range []struct {
		name     string
		datagram []byte
		reason   export.AnswerReason
	}{
		{"junk", []byte("hello"), export.AnswerForged},
		{"wrong key", h.sealed(newKey(t), wire.Ack, good), export.AnswerForged},
		{"flipped bit", flip, export.AnswerForged},
		{"our own, thrown back", own, export.AnswerKind},
		{"wrong direction", h.sealed(h.key, wire.Flows, good), export.AnswerKind},
		{"wrong kind", h.sealed(h.key, wire.Probe, good), export.AnswerKind},
		{"other version", other, export.AnswerUnparsed},
		{"cut", h.sealed(h.key, wire.Ack, good[:len(good)-1]), export.AnswerUnparsed},
		{"another life", h.answer(with(func(a *wire.Answer) { a.Boot-- })), export.AnswerBoot},
		{"a seq that was never sent", h.answer(acks(seq + 1)), export.AnswerUnsent},
		{"a seq that was never sent, by bit", h.answer(acks(seq, 4)), export.AnswerUnsent},
		{"a tx that was never sent", h.answer(with(func(a *wire.Answer) { a.TX++ })), export.AnswerUnsent},
		{"refusal of a tx that was never sent", h.answer(with(func(a *wire.Answer) {
			a.Refusals = []wire.Refusal{{Reason: wire.RefusedParse, TX: tx + 1}}
		})), export.AnswerUnsent},
		{"answer to a probe that was not sent", h.answer(with(func(a *wire.Answer) { a.Time, a.HasAcks = 1, false })), export.AnswerStale},
	} {
		want[c.reason]++
		h.send(c.datagram, from)
		eventually(t, c.name, func() bool { return s.Stats().AnswersUnfit == want })
	}
	stats := s.Stats()
	if stats.Acked != (export.Amount{}) || stats.Answers != 0 || stats.InFlight != 1 || stats.Held || stats.DroppedTotal() != (export.Amount{}) {
		t.Errorf("%+v", stats)
	}
	// From elsewhere even the right one does not count: the socket is connected.
	stranger := newHostile(t, h.key)
	stranger.send(h.answer(acks(seq)), from)
	time.Sleep(100 * time.Millisecond)
	if s.Stats().Answers != 0 || s.Stats().AnswersUnfit != want {
		t.Error("an answer from elsewhere was read")
	}
	h.send(h.answer(acks(seq)), from)
	eventually(t, "acknowledgement", func() bool { return s.Stats().Acked.Records == 3 && s.Stats().InFlight == 0 })
	// Once more, it tells nothing new.
	h.send(h.answer(acks(seq)), from)
	eventually(t, "second answer", func() bool { return s.Stats().Answers == 2 })
	stats = s.drain(t)
	balance(t, stats)
	if stats.Acked.Records != 3 || stats.Pending.Records != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestRefusedForGood: a batch that the collector can never take is dropped and counted by reason.
func TestRefusedForGood(t *testing.T) {
	for refusal, reason := range map[wire.RefusalReason]export.Reason{
		wire.RefusedParse: export.RefusedParse, wire.RefusedValidate: export.RefusedValidate, wire.RefusedVersion: export.RefusedVersion,
	} {
		h, s, a, _, from := withOne(t)
		h.send(h.answer(wire.Answer{Boot: a.header.Boot, TX: a.header.TX, Refusals: []wire.Refusal{{Reason: refusal, TX: a.header.TX}}}), from)
		eventually(t, refusal.String(), func() bool { return s.Stats().Dropped[reason].Records == 3 })
		stats := s.drain(t)
		balance(t, stats)
		if stats.Pending.Records != 0 || stats.InFlight != 0 {
			t.Errorf("%v: %+v", refusal, stats)
		}
	}
}

// TestReplayedRefusalHoldsOnce: a temporary refusal is heeded once, and not any more when its batch is acknowledged.
func TestReplayedRefusalHoldsOnce(t *testing.T) {
	h, s, a, _, from := withOne(t)
	full := h.answer(wire.Answer{Boot: a.header.Boot, TX: a.header.TX, Refusals: []wire.Refusal{{Reason: wire.RefusedFull, TX: a.header.TX}}})
	for n := range uint64(3) {
		h.send(full, from)
		eventually(t, "answer", func() bool { return s.Stats().Answers == n+1 })
	}
	if got := s.Stats().Full; got != 1 {
		t.Errorf("heeded %d times", got)
	}
	h.send(h.answer(wire.Answer{Boot: a.header.Boot, TX: a.header.TX, HasAcks: true, Acks: wire.Acks{Boot: a.header.Boot, Upto: a.batch.Seq}}), from)
	eventually(t, "acknowledgement", func() bool { return s.Stats().Acked.Records == 3 })
	clock := h.answer(wire.Answer{Boot: a.header.Boot, TX: a.header.TX, Refusals: []wire.Refusal{{Reason: wire.RefusedClock, TX: a.header.TX, Offset: time.Hour}}})
	h.send(clock, from)
	eventually(t, "answer", func() bool { return s.Stats().Answers == 5 })
	if s.Stats().ClockOffset != 0 {
		t.Error("a refusal of what was acknowledged is heeded")
	}
}

// TestResendsGrowApart: 1, 2, 4 times the first pause, then the longest, each under a tx of its own.
func TestResendsGrowApart(t *testing.T) {
	h := newHostile(t, newKey(t))
	cfg := acknowledged(h.address(), h.key)
	cfg.ResendAfter, cfg.ResendMost = 100*time.Millisecond, 400*time.Millisecond
	s := run(t, cfg)
	b := s.Batcher("eth0")
	feed(b, 0, 3)
	b.Close()
	first, _, _ := h.next()
	last := time.Now()
	for n, least := range []time.Duration{100, 200, 400, 400, 400} {
		a, _, _ := h.next()
		took := time.Since(last)
		last = time.Now()
		if least *= time.Millisecond; took < least-20*time.Millisecond || took > least*5/4+150*time.Millisecond {
			t.Errorf("resend %d after %v, want %v to %v", n, took, least, least*5/4)
		}
		if a.header.TX != first.header.TX+uint64(n)+1 || a.batch.Seq != first.batch.Seq || a.batch.Base != first.batch.Base {
			t.Errorf("resend %d: tx %d, seq %d, base %d", n, a.header.TX, a.batch.Seq, a.batch.Base)
		}
	}
	s.stop(t)
}
