package ingest_test

import (
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// A refused clock names its offset, in the log and for the sensor; when mended, the sensor is heard again.
func TestClockOffsetIsNamed(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()

	edge.now = func() time.Time { return time.Now().Add(-30 * time.Second) }
	send(t, conn, edge.flows(record(1)))
	c.settle(1)
	if got := c.sensor("edge-1").Offset; got < -32*time.Second || got > -28*time.Second {
		t.Errorf("offset %v, want about -30 s", got)
	}
	if len(c.logs.lines("reason=clock_old", "sensor=edge-1", "clock_offset=-")) != 1 {
		t.Errorf("log does not name the offset:\n%s", c.logs)
	}

	edge.now = time.Now
	send(t, conn, edge.flows(record(1)))
	if st := c.settle(2); st.Outcomes[ingest.ReasonAccepted] != 1 {
		t.Errorf("not resumed: %s", named(st.Outcomes))
	}
	if got := c.sensor("edge-1").Offset; got.Abs() > 2*time.Second {
		t.Errorf("offset %v after the clock was mended", got)
	}
}

// The clock is held against the time the kernel received the datagram, not against the time we got round to it.
func TestClockIsJudgedAtReceiveTime(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := listen(t, ingest.Config{}, edge.sensor())
	strict, err := seal.NewOpener([]seal.Sensor{edge.sensor()}, seal.Limits{TTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c.SetOpener(strict)
	send(t, c.dial(), edge.flows(record(1)))
	time.Sleep(2500 * time.Millisecond) // longer than the TTL and the second that a stamp is cut to
	c.run()
	if st := c.settle(1); st.Outcomes[ingest.ReasonAccepted] != 1 {
		t.Errorf("a datagram that waited in the socket: %s", named(st.Outcomes))
	}
}

// Replays get nothing done, whether the tx was seen, is too old to know, or is of an older boot.
func TestReplays(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()

	first := edge.flows(record(1))
	send(t, conn, first, first, first)
	st := c.settle(3)
	if st.Outcomes[ingest.ReasonAccepted] != 1 || st.Outcomes[ingest.ReasonReplayed] != 2 {
		t.Fatalf("after a replay: %s", named(st.Outcomes))
	}

	edge.tx += seal.WindowBits
	send(t, conn, edge.flows(record(1)), edge.seal(wire.Header{Kind: wire.Flows, ID: edge.id, Boot: edge.boot, TX: 2}, edge.body(77, record(1))))
	st = c.settle(5)
	if st.Outcomes[ingest.ReasonAccepted] != 2 || st.Outcomes[ingest.ReasonTXOld] != 1 {
		t.Fatalf("below the window: %s", named(st.Outcomes))
	}
	if got := c.sensor("edge-1").Missing; got != seal.WindowBits {
		t.Errorf("%d missing, want %d", got, seal.WindowBits)
	}

	edge.boot++
	edge.tx, edge.seq = 0, 0
	send(t, conn, edge.flows(record(1)))
	edge.boot -= 2
	edge.tx, edge.seq = 50, 50
	send(t, conn, edge.flows(record(1)))
	st = c.settle(7)
	if st.Outcomes[ingest.ReasonAccepted] != 3 || st.Outcomes[ingest.ReasonBootOld] != 1 {
		t.Fatalf("older boot: %s", named(st.Outcomes))
	}
	if got := c.sensor("edge-1").Boot; got != 1001 {
		t.Errorf("newest boot %d", got)
	}
	if n := len(c.logs.lines("level=WARN", "replayed")); n != 0 {
		t.Error("a replay is worth no warning")
	}
}

// Reordered datagrams leave no gap, lost ones do.
func TestGaps(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	var ds [][]byte
	for range 10 {
		ds = append(ds, edge.flows(record(1)))
	}
	send(t, conn, ds[0], ds[5], ds[3], ds[9])
	c.settle(4)
	if got := c.sensor("edge-1").Missing; got != 6 {
		t.Errorf("%d missing, want 6", got)
	}
	send(t, conn, ds[1], ds[2], ds[8], ds[7], ds[4])
	c.settle(9)
	if got := c.sensor("edge-1").Missing; got != 1 {
		t.Errorf("%d missing, want 1", got)
	}
}

// A batch sent again under a new tx is not handed on twice, unless the sink refused it.
func TestDuplicates(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := listen(t, ingest.Config{}, edge.sensor())
	full := true
	c.verdict = func(*flow.Batch) ingest.Verdict {
		if full {
			return ingest.Full
		}
		return ingest.Accepted
	}
	c.run()
	conn := c.dial()

	send(t, conn, edge.flows(records(3)...))
	st := c.settle(1)
	lost := flow.Volume{Batches: 1, Records: 3, Packets: 6, Bytes: 6 * 1500}
	if st.Outcomes[ingest.ReasonQueueFull] != 1 || st.QueueFull != lost || st.Accepted != (flow.Volume{}) {
		t.Fatalf("refused by the sink: %+v", st)
	}
	if s := c.sensor("edge-1"); s.QueueFull != lost || s.Outcomes[ingest.ReasonQueueFull] != 1 {
		t.Errorf("sensor counted %+v", s)
	}

	c.mu.Lock()
	full = false
	c.mu.Unlock()
	send(t, conn, edge.resend(records(3)...), edge.resend(records(3)...))
	st = c.settle(3)
	if st.Outcomes[ingest.ReasonAccepted] != 1 || st.Outcomes[ingest.ReasonDuplicate] != 1 || len(c.batches()) != 1 {
		t.Errorf("sent again: %s", named(st.Outcomes))
	}
	if st.Accepted != lost {
		t.Errorf("accepted %+v", st.Accepted)
	}
}

// Somebody plays what a sensor sent long ago, after it has fallen silent: it is not seen by that, nor has it another clock or key.
func TestRecordingShowsNoSensor(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	edge.now = func() time.Time { return time.Now().Add(-time.Hour) }
	recording := [][]byte{edge.flows(record(1)), edge.flows(record(2)), edge.seal(wire.Header{Kind: wire.Probe, ID: "edge-1", Boot: edge.boot, TX: 5}, wire.AppendProbe(nil))}
	edge.now = time.Now
	send(t, conn, edge.flows(record(3)))
	c.settle(1)
	before := c.sensor("edge-1")
	time.Sleep(10 * time.Millisecond)
	for _, datagram := range recording {
		send(t, conn, datagram)
	}
	c.settle(1 + uint64(len(recording)))
	s := c.sensor("edge-1")
	if s.Datagrams != 1+uint64(len(recording)) || s.LastSeen != before.LastSeen || s.Offset != before.Offset {
		t.Errorf("seen at %v with a clock that is off by %v, was %v and %v; %s", s.LastSeen, s.Offset, before.LastSeen, before.Offset, named(s.Outcomes))
	}
}
