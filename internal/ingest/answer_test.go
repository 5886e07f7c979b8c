package ingest_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// heard is an answer that came back.
type heard struct {
	header wire.Header
	answer wire.Answer
	length int
}

// listenFor reads the next answer within d, opened with the agent's first key.
func (a *agent) listenFor(conn net.Conn, d time.Duration) (heard, bool) {
	a.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(d))
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return heard{}, false
	}
	if err != nil {
		a.t.Fatal(err)
	}
	opener, err := seal.NewOpener([]seal.Sensor{{ID: a.id, Keys: a.keys[:1]}}, seal.Limits{})
	if err != nil {
		a.t.Fatal(err)
	}
	opened, reason := opener.Open(nil, buf[:n], netip.Addr{}, time.Now())
	if reason != seal.ReasonOK {
		a.t.Fatalf("answer of %d octets: %v", n, reason)
	}
	h, body, err := wire.ParseHeader(opened.Plaintext)
	if err != nil || h.Kind != wire.Ack || h.ID != a.id || h.Boot == 0 || h.TX == 0 {
		a.t.Fatalf("%+v, %v", h, err)
	}
	answer, err := wire.ParseAnswer(body)
	if err != nil {
		a.t.Fatal(err)
	}
	return heard{h, answer, n}, true
}

// answered wants an answer soon.
func (a *agent) answered(conn net.Conn) heard {
	a.t.Helper()
	h, ok := a.listenFor(conn, 3*time.Second)
	if !ok {
		a.t.Fatal("no answer")
	}
	return h
}

// silence wants none.
func (a *agent) silence(conn net.Conn, why string) {
	a.t.Helper()
	if h, ok := a.listenFor(conn, 200*time.Millisecond); ok {
		a.t.Errorf("%s is answered by %+v", why, h.answer)
	}
}

// holding is a collector whose sink keeps the batches until they are settled.
func holding(t *testing.T, cfg ingest.Config, sensors ...seal.Sensor) (*collector, chan *flow.Batch) {
	t.Helper()
	c := listen(t, cfg, sensors...)
	held := make(chan *flow.Batch, 2000)
	c.hold = func(b *flow.Batch) { held <- b }
	c.run()
	return c, held
}

// A batch is acknowledged once it is durable, and not before, also when it comes again meanwhile.
func TestAcknowledgedWhenDurable(t *testing.T) {
	needIPv6(t)
	for _, at := range []netip.Addr{loopback4, loopback6} {
		edge := newAgent(t, "edge-1")
		c, held := holding(t, ingest.Config{ID: "west-1", Listen: []netip.AddrPort{netip.AddrPortFrom(at, 0)}}, edge.sensor())
		conn := c.dial()
		send(t, conn, edge.flows(records(3)...), edge.resend(records(3)...))
		c.settle(2)
		edge.silence(conn, "what is not durable")
		first := <-held
		c.Settle(first, ingest.Durable)
		got := edge.answered(conn)
		if a := got.answer; a.Boot != edge.boot || a.TX != edge.tx || a.Collector != "west-1" || !a.HasAcks ||
			a.Acks.Boot != edge.boot || a.Acks.Upto != 1 || len(a.Acks.Bits) != 0 || len(a.Refusals) != 0 || a.Time != 0 {
			t.Errorf("answer %+v", a)
		}
		d := edge.resend(records(3)...)
		send(t, conn, d)
		if a := edge.answered(conn).answer; a.TX != edge.tx || a.Acks.Upto != 1 {
			t.Errorf("a duplicate is answered by %+v", a)
		}
		send(t, conn, d)
		edge.silence(conn, "a seen tx")
		st := c.settle(4)
		if st.Outcomes[ingest.ReasonDuplicate] != 2 || st.Durable.Records != 3 || st.Answers.Sent != 2 || st.Accepted != st.Durable {
			t.Errorf("%s, %+v", named(st.Outcomes), st.Durable)
		}
	}
}

// Several batches within the time are acknowledged by one answer, out of order, with gaps; the floor closes gaps.
func TestAnswersAreCoalesced(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c, held := holding(t, ingest.Config{AnswerAfter: 300 * time.Millisecond}, edge.sensor())
	conn := c.dial()
	for range 20 {
		send(t, conn, edge.flows(record(1)))
	}
	c.settle(20)
	for range 20 {
		if b := <-held; b.Seq != 3 && b.Seq != 7 {
			c.Settle(b, ingest.Durable)
		} else {
			c.Settle(b, ingest.Lost)
		}
	}
	a := edge.answered(conn).answer
	var above []uint64
	a.Acks.Each(func(seq uint64) { above = append(above, seq) })
	if a.Acks.Upto != 2 || len(above) != 16 || a.Acks.Highest() != 20 {
		t.Errorf("%+v", a.Acks)
	}
	if h, ok := edge.listenFor(conn, 500*time.Millisecond); ok {
		t.Errorf("what was told is told again: %+v", h.answer)
	}
	// Lost ones are welcome again; a floor above them makes the rest one piece.
	edge.seq = 3
	send(t, conn, edge.resend(record(1)))
	c.Settle(<-held, ingest.Durable)
	if a := edge.answered(conn).answer; a.Acks.Upto != 6 {
		t.Errorf("%+v", a.Acks)
	}
	send(t, conn, edge.seal(edge.header(wire.Flows), wireBody(t, wire.Numbers{Boot: edge.boot, Seq: 21, Floor: 8, Base: 1})))
	c.Settle(<-held, ingest.Durable)
	if a := edge.answered(conn).answer; a.Acks.Upto != 21 || len(a.Acks.Bits) != 0 {
		t.Errorf("after a batch was given up: %+v", a.Acks)
	}
	if st := c.Stats(); st.Lost.Batches != 2 || st.Durable.Batches != 20 || st.Accepted.Batches != 22 {
		t.Errorf("accepted %+v, durable %+v, lost %+v", st.Accepted, st.Durable, st.Lost)
	}
}

func wireBody(t *testing.T, n wire.Numbers) []byte {
	t.Helper()
	e := wire.NewFlowsEncoder(1000)
	r := record(1)
	e.Add(&r, "eth0")
	return e.AppendBody(nil, n)
}

// A restarted sensor's batches of its earlier life are acknowledged by their own boot.
func TestEarlierBootIsAcknowledged(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c, held := holding(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	send(t, conn, edge.seal(edge.header(wire.Flows), wireBody(t, wire.Numbers{Boot: edge.boot - 7, Seq: 500, Floor: 499, Base: 1})))
	b := <-held
	if b.Boot != edge.boot-7 {
		t.Errorf("handed over as of boot %d", b.Boot)
	}
	c.Settle(b, ingest.Durable)
	if a := edge.answered(conn).answer; a.Boot != edge.boot || a.Acks.Boot != edge.boot-7 || a.Acks.Upto != 498 || a.Acks.Highest() != 500 {
		t.Errorf("%+v", a)
	}
}

// Refusals are told with their tx, at most once a second each.
func TestRefusalsAreTold(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c, _ := holding(t, ingest.Config{AnswerAfter: 300 * time.Millisecond}, edge.sensor())
	c.mu.Lock()
	c.verdict = func(*flow.Batch) ingest.Verdict { return ingest.Full }
	c.mu.Unlock()
	conn := c.dial()
	bad := record(1)
	bad.Packets = 0
	send(t, conn, edge.seal(edge.header(wire.Flows), make([]byte, 500)), edge.flows(record(1), bad), edge.flows(records(9)...),
		edge.sealPlain(append(otherVersion(edge), make([]byte, 300)...)))
	c.settle(4)
	got := map[wire.RefusalReason]uint64{}
	for _, r := range edge.answered(conn).answer.Refusals {
		got[r.Reason] = r.TX
	}
	want := map[wire.RefusalReason]uint64{wire.RefusedParse: 1, wire.RefusedValidate: 2, wire.RefusedFull: 3, wire.RefusedVersion: 4}
	for reason, tx := range want {
		if got[reason] != tx {
			t.Errorf("%v: tx %d, want %d", reason, got[reason], tx)
		}
	}
	begin := time.Now()
	for range 40 {
		send(t, conn, edge.flows(record(1), bad), edge.seal(edge.header(wire.Report), make([]byte, 100)))
	}
	a := edge.answered(conn).answer
	if took := time.Since(begin); took < 600*time.Millisecond || len(a.Refusals) == 0 || a.HasAcks {
		t.Errorf("after %v: %+v", took, a)
	}
}

// A wrong clock is told once a second, to a datagram that is newer than all that were taken or told.
func TestClockIsTold(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c, held := holding(t, ingest.Config{}, edge.sensor())
	conn, elsewhere := c.dial(), c.dial()
	edge.now = func() time.Time { return time.Now().Add(-30 * time.Second) }
	d := edge.flows(record(1))
	send(t, conn, d)
	a := edge.answered(conn).answer
	if len(a.Refusals) != 1 || a.Refusals[0].Reason != wire.RefusedClock || a.Refusals[0].TX != edge.tx || a.HasAcks ||
		(a.Refusals[0].Offset+30*time.Second).Abs() > 2*time.Second {
		t.Errorf("%+v", a)
	}
	send(t, conn, edge.flows(record(1)))
	edge.silence(conn, "a second one")
	edge.now = time.Now
	send(t, conn, edge.flows(record(1)))
	c.Settle(<-held, ingest.Durable)
	edge.answered(conn)
	time.Sleep(time.Second)
	send(t, elsewhere, d)
	edge.silence(elsewhere, "a replay of what was refused")
	edge.silence(conn, "a replay of what was refused")
}

// A probe is answered with the time, at the place it came from, whatever its clock, and makes no state.
func TestProbeIsAnswered(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c, held := holding(t, ingest.Config{ID: "west-1"}, edge.sensor())
	conn, other := c.dial(), c.dial()
	send(t, conn, edge.flows(record(1)))
	b := <-held
	probe := func(tx uint64) []byte {
		return edge.seal(wire.Header{Kind: wire.Probe, ID: edge.id, Boot: 1 << 60, TX: tx}, wire.AppendProbe(nil))
	}
	d := probe(77)
	send(t, other, d)
	got := edge.answered(other)
	if a := got.answer; a.TX != 77 || a.Boot != 1<<60 || a.HasAcks || len(a.Refusals) != 0 || a.Collector != "west-1" ||
		time.Since(time.Unix(0, a.Time)).Abs() > 2*time.Second {
		t.Errorf("%+v", a)
	}
	if got.length > len(d) {
		t.Errorf("%d octets answer %d", got.length, len(d))
	}
	edge.now = func() time.Time { return time.Now().Add(time.Hour) }
	time.Sleep(110 * time.Millisecond)
	send(t, other, probe(78))
	if a := edge.answered(other).answer; a.TX != 78 || len(a.Refusals) != 1 || a.Refusals[0].Offset < 59*time.Minute || a.Time == 0 {
		t.Errorf("skewed: %+v", a)
	}
	for range 10 {
		send(t, other, probe(79))
	}
	c.settle(13)
	if st := c.Stats(); st.Outcomes[ingest.ReasonAccepted] != 13 || st.Answers.Sent > 4 || c.sensor("edge-1").Boot != edge.boot {
		t.Errorf("%s, %d answers, boot %d", named(st.Outcomes), st.Answers.Sent, c.sensor("edge-1").Boot)
	}
	// Where acknowledgements go has not changed.
	edge.now = time.Now
	for {
		if _, ok := edge.listenFor(other, 200*time.Millisecond); !ok {
			break
		}
	}
	c.Settle(b, ingest.Durable)
	if a := edge.answered(conn).answer; a.Acks.Upto != 1 {
		t.Errorf("%+v", a)
	}
	edge.silence(other, "a batch from elsewhere")
}

// Answers go to the source of the newest datagram: neither a replay nor an older one that comes late turns them aside.
func TestSpoofedSourceRedirectsNothing(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c, held := holding(t, ingest.Config{}, edge.sensor())
	home, spoofed := c.dial(), c.dial()
	first, second, third := edge.flows(record(1)), edge.flows(record(1)), edge.flows(record(1))
	send(t, home, first, third)
	c.settle(2)
	send(t, spoofed, first, third, second) // replays, and one that was held back
	c.settle(5)
	forged := flipped(edge.flows(record(1)))
	send(t, spoofed, forged)
	c.settle(6)
	for range 3 {
		c.Settle(<-held, ingest.Durable)
	}
	if a := edge.answered(home).answer; a.Acks.Upto != 3 {
		t.Errorf("%+v", a)
	}
	edge.silence(spoofed, "the sensor")
	// A sensor that moves is followed.
	send(t, spoofed, edge.flows(record(1)))
	c.Settle(<-held, ingest.Durable)
	edge.answered(spoofed)
	edge.silence(home, "a sensor that has moved")
}

// No answer is longer than what it answers, and each is sealed by the key that opened that.
func TestAnswerSizeAndKey(t *testing.T) {
	edge := newAgent(t, "edge-1")
	edge.keys = append(edge.keys, newKey(t))
	c, held := holding(t, ingest.Config{ID: "a-collector-with-a-very-long-name-that-takes-much-of-the-answer"}, edge.sensor())
	conn := c.dial()
	edge.keys[0], edge.keys[1] = edge.keys[1], edge.keys[0] // the collector's second
	var last []byte
	for n := range 1500 {
		last = edge.flows(record(1))
		if n%100 == 0 {
			c.settle(uint64(n))
		}
		send(t, conn, last)
	}
	c.settle(1500)
	for n := range 1500 {
		if b := <-held; n%2 == 1 {
			c.Settle(b, ingest.Durable)
		}
	}
	got := edge.answered(conn)
	if got.length > len(last) || got.answer.Acks.Upto != 0 || len(got.answer.Acks.Bits) == 0 {
		t.Errorf("%d octets answer %d: %+v", got.length, len(last), got.answer)
	}
	if s := c.sensor("edge-1"); s.KeyIndex != 1 {
		t.Errorf("opened by key %d", s.KeyIndex)
	}
}

// What nobody could authenticate is answered by nothing.
func TestJunkIsNotAnswered(t *testing.T) {
	edge, stranger := newAgent(t, "edge-1"), newAgent(t, "edge-1")
	c, _ := holding(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	send(t, conn, stranger.flows(record(1)), newAgent(t, "nobody").flows(record(1)), make([]byte, 500), edge.seal(edge.header(wire.Ack), nil),
		edge.seal(wire.Header{Kind: wire.Probe, ID: edge.id}, nil))
	c.settle(5)
	edge.silence(conn, "junk")
	if st := c.Stats(); st.Answers != (ingest.AnswerStats{}) {
		t.Errorf("%+v", st.Answers)
	}
}

// What became durable before the end is told before the end.
func TestCloseTellsTheRest(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c, held := holding(t, ingest.Config{AnswerAfter: time.Hour}, edge.sensor())
	conn := c.dial()
	send(t, conn, edge.flows(record(1)))
	b := <-held
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	c.Settle(b, ingest.Durable)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if a := edge.answered(conn).answer; a.Acks.Upto != 1 {
		t.Errorf("%+v", a)
	}
}
