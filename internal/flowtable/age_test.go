package flowtable_test

import (
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
)

const (
	syn    = flow.SYN
	synack = flow.SYN | flow.ACK
	ack    = flow.ACK
	fin    = flow.FIN | flow.ACK
	rst    = flow.RST
)

func TestInactiveTimer(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 0, ack)
	b.see(1, 14.9, ack)
	b.Lap(ns(29.8))
	b.want()
	b.Lap(ns(29.9))
	b.want("idle 2 0-14.9")
	if b.Len() != 0 {
		t.Error("the flow stayed")
	}
}

func TestInactiveTimerIsExactWithoutTheSweep(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 0, ack)
	b.see(1, 14.999999999, ack)
	b.want()
	b.see(1, 29.999999999, ack)
	b.want("idle 2 0-14.999999999")
	b.Flush(flow.EndEOF)
	b.want("eof 1 29.999999999-29.999999999")
}

func TestActiveTimer(t *testing.T) {
	b := newTable(t, defaults(10))
	for at := 0.0; at < 60; at += 10 {
		b.see(1, at, ack)
		b.Lap(ns(at))
	}
	b.Lap(ns(59.9))
	b.want()
	b.Lap(ns(60))
	b.want("active 6 0-50")
	b.see(1, 61, ack)
	b.Lap(ns(70))
	b.want()
	b.Lap(ns(76))
	b.want("idle 1 61-61")
}

func TestActiveTimerIsExactWithoutTheSweep(t *testing.T) {
	b := newTable(t, defaults(10))
	for at := 0.0; at < 60; at += 10 {
		b.see(1, at, ack)
	}
	b.see(1, 59.999999999, ack)
	b.want()
	b.see(1, 60, ack)
	b.want("active 7 0-59.999999999")
}

// TestActiveExportLeavesNoEmptyRecord: a flow that goes idle after its active export has nothing more to say.
func TestActiveExportLeavesNoEmptyRecord(t *testing.T) {
	b := newTable(t, defaults(10))
	for at := 0.0; at < 60; at += 10 {
		b.see(1, at, ack)
	}
	b.Lap(ns(60))
	b.want("active 6 0-50")
	b.Lap(ns(64.9))
	if b.Len() != 1 {
		t.Error("the entry left before it was idle")
	}
	b.Lap(ns(65))
	b.want()
	if b.Len() != 0 {
		t.Error("the idle entry stayed")
	}
	b.Flush(flow.EndEOF)
	b.want()
}

// TestTheTimerThatRanOutFirstCounts: when both have run out, the reason is that of a sweep that came in time.
func TestTheTimerThatRanOutFirstCounts(t *testing.T) {
	b := newTable(t, defaults(10))
	for at := 0.0; at <= 40; at += 10 {
		b.see(1, at, ack)
		b.see(2, at, ack)
	}
	b.see(2, 50, ack)
	b.see(1, 100, ack) // was idle at 55, before it was old at 60
	b.see(2, 100, ack) // was old at 60, before it was idle at 65
	b.want("idle 5 0-40", "active 6 0-50")
}

func TestFlowOfThirtyMinutesComesInPiecesThatAddUp(t *testing.T) {
	b := newTable(t, defaults(10))
	const packets = 30 * 60 * 4
	for n := range packets {
		flags := ack
		if n == 0 {
			flags = syn
		}
		b.see(1, float64(n)/4, flags)
		b.Expire(ns(float64(n) / 4))
	}
	b.Flush(flow.EndShutdown)
	var sum uint64
	last := int64(-1)
	for _, r := range b.records {
		sum += r.Packets
		if r.First <= last || r.Last-r.First >= int64(time.Minute) {
			t.Errorf("a piece from %d to %d after one to %d", r.First, r.Last, last)
		}
		if r.Handshake != flow.SawSYN {
			t.Errorf("the piece from %d lost the handshake", r.First)
		}
		if (r.TCPFlags&flow.SYN != 0) != (r.First == 0) {
			t.Errorf("the piece from %d has flags %#x", r.First, r.TCPFlags)
		}
		last = r.Last
	}
	if sum != packets || len(b.records) != 30 || last != ns(packets-1)/4 {
		t.Errorf("%d pieces with %d packets up to %d, want 30 with %d", len(b.records), sum, last, packets)
	}
	if s := b.Stats(); s.Created != 1 {
		t.Errorf("%d flows created", s.Created)
	}
}

func TestFINLingersForTrailingACKs(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 0, syn)
	b.see(1, 1, fin)
	b.Lap(ns(2.5))
	b.see(1, 2.9, ack)
	b.Lap(ns(4.8))
	b.want()
	b.Lap(ns(4.9))
	b.want("fin 3 0-2.9")
}

func TestLingerIsExactWithoutTheSweep(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 1, fin)
	b.see(1, 2.999999999, ack)
	b.want()
	b.see(1, 4.999999999, ack)
	b.want("fin 2 1-2.999999999")
}

func TestRSTWins(t *testing.T) {
	for name, flags := range map[string][2]uint16{"after FIN": {fin, rst}, "before FIN": {rst, fin}} {
		t.Run(name, func(t *testing.T) {
			b := newTable(t, defaults(10))
			b.see(1, 0, flags[0])
			b.see(1, 1, flags[1])
			b.Lap(ns(3))
			b.want("rst 2 0-1")
		})
	}
}

func TestSYNEndsALingeringFlow(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 0, syn)
	b.see(1, 1, fin)
	b.see(1, 1.5, syn)
	b.want("fin 2 0-1")
	b.see(1, 1.6, ack)
	b.Lap(ns(10))
	b.want() // the new flow does not linger
	b.Lap(ns(16.6))
	b.want("idle 2 1.5-1.6")
	if s := b.Stats(); s.Created != 2 {
		t.Errorf("%d flows created, want 2", s.Created)
	}
}

func TestSYNACKDoesNotEndALingeringFlow(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 0, fin)
	b.see(1, 1, synack)
	b.see(1, 1, ack)
	b.want()
	b.Lap(ns(3))
	b.want("fin 3 0-1")
}

func TestSYNOnALivingFlowJoinsIt(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 0, syn)
	b.see(1, 1, syn)
	b.see(1, 2, ack)
	b.Lap(ns(17))
	b.want("idle 3 0-2")
}

// TestHalfClosedConnection: the side that closed goes on acknowledging, for longer than the active timeout.
func TestHalfClosedConnection(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 0, fin)
	for at := 1.0; at <= 70; at++ {
		b.see(1, at, ack)
		b.Lap(ns(at))
	}
	b.want("active 60 0-59")
	b.Lap(ns(72))
	b.want("fin 11 60-70")
}

// TestLingerComesBeforeActive: a flow whose end was seen is not cut by its age while it waits for the last packets.
func TestLingerComesBeforeActive(t *testing.T) {
	b := newTable(t, defaults(10))
	for at := 0.0; at < 59; at += 10 {
		b.see(1, at, ack)
	}
	b.see(1, 59, fin)
	b.Lap(ns(60.5))
	b.want()
	b.Lap(ns(61))
	b.want("fin 7 0-59")
}

func TestHandshakeStaysOverActiveExportsOnly(t *testing.T) {
	b := newTable(t, defaults(10))
	see := func(at float64, flags uint16) { b.see(1, at, flags) }
	for at := 0.0; at < 60; at += 10 {
		see(at, syn)
	}
	see(60, ack)
	see(65, synack)
	see(90, ack) // idle in between: another flow
	b.Flush(flow.EndEOF)
	var got []uint8
	for _, r := range b.records {
		got = append(got, r.Handshake)
	}
	want := []uint8{flow.SawSYN, flow.SawSYN | flow.SawSYNACK, 0}
	if len(got) != 3 || [3]uint8(got) != [3]uint8(want) {
		t.Errorf("handshake bits %v, want %v", got, want)
	}
}

func TestVLANsAreThoseOfTheRecordsFirstPacket(t *testing.T) {
	b := newTable(t, defaults(10))
	for n := range uint16(10) {
		p := packetOf(1, int64(n)*10e9)
		p.VLAN, p.VLANInner = flow.VLANFromTCI(n), flow.VLANFromTCI(100+n)
		b.Account([]flow.Packet{p}, p.Time)
	}
	b.Flush(flow.EndEOF)
	for i, want := range []uint16{0, 6} {
		if r := b.records[i]; r.VLAN != flow.VLANFromTCI(want) || r.VLANInner != flow.VLANFromTCI(100+want) {
			t.Errorf("record %d has VLANs %v", i, r)
		}
	}
}

// fill accounts a packet each of that many flows, a multiple of 64, at time 0.
func (b *bench) fill(flows int) {
	batch := make([]flow.Packet, 64)
	for n := 0; n < flows; n += len(batch) {
		for i := range batch {
			batch[i] = packetOf(uint64(n+i), 0)
		}
		b.Account(batch, 0)
	}
}

// TestIdleLinkFlushes: with no packet any more, ten calls of Expire a second get everything out in time.
func TestIdleLinkFlushes(t *testing.T) {
	const flows = 64 * 1500
	b := newTable(t, defaults(flows))
	b.fill(flows)
	for at := 0.0; at < 14.95; at += 0.1 {
		b.Expire(ns(at))
	}
	b.want()
	calls := 0
	for at := 15.0; b.Len() > 0 && at < 17; at += 0.1 {
		before := len(b.records)
		b.Expire(ns(at))
		calls++
		if emitted := len(b.records) - before; emitted > flowtable.MaxEmit+32 {
			t.Errorf("one call emitted %d records", emitted)
		}
	}
	if b.Len() != 0 || calls > 12 {
		t.Errorf("%d flows left after %d calls", b.Len(), calls)
	}
}

// TestSweepIsPaced: called often, Expire does little each time, and all of it in a second all the same.
func TestSweepIsPaced(t *testing.T) {
	const flows = 64 * 1500
	b := newTable(t, defaults(flows))
	b.fill(flows)
	b.Expire(ns(100))
	for call := range 1000 {
		before := len(b.records)
		b.Expire(ns(100) + int64(call+1)*1e6)
		if emitted := len(b.records) - before; emitted > flows/1000+1 {
			t.Fatalf("call %d emitted %d records", call, emitted)
		}
	}
	if b.Len() != 0 {
		t.Errorf("%d flows left after a second", b.Len())
	}
}

// TestSweepCatchesUp: a caller that was away for long gets no long call for it, and the rest is not forgotten.
func TestSweepCatchesUp(t *testing.T) {
	const flows = 64 * 1500
	b := newTable(t, defaults(flows))
	b.fill(flows)
	b.Expire(0)
	for calls := 1; b.Len() > 0; calls++ {
		before := len(b.records)
		b.Expire(ns(1000) + int64(calls))
		if emitted := len(b.records) - before; emitted > flowtable.MaxEmit+32 || calls > 10 {
			t.Fatalf("call %d emitted %d records, %d flows left", calls, emitted, b.Len())
		}
	}
}
