package flowtable_test

import (
	"math"
	"testing"

	"flowsensor/internal/flow"
)

const hour = 3600.0

func TestClockSetBackAgesNothing(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 2*hour, ack)
	b.see(2, 2*hour, fin)
	for at := hour; at < hour+1.9; at += 0.1 {
		b.Lap(ns(at))
	}
	b.see(1, hour+1, ack)
	b.see(1, hour+2, ack)
	b.want()
	if s := b.Stats(); s.NegativeSpans != 1 {
		t.Errorf("%d negative spans, want the one of the step", s.NegativeSpans)
	}
	b.Flush(flow.EndEOF)
	b.want("eof 3 3601-7200", "eof 1 7200-7200")
}

// TestClockSetBackStrandsNoFlow: flows without packets after the step end a wait later by the new time.
func TestClockSetBackStrandsNoFlow(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 2*hour, ack)
	b.see(2, 2*hour, rst)
	b.see(3, 2*hour, ack)
	b.Lap(ns(hour))
	b.see(3, hour+1, ack)
	b.Lap(ns(hour + 1.9))
	b.want()
	b.Lap(ns(hour + 2))
	b.want("rst 1 7200-7200")
	b.Lap(ns(hour + 14.9))
	b.want()
	b.Lap(ns(hour + 15))
	b.want("idle 1 7200-7200")
	b.Lap(ns(hour + 16))
	b.want("idle 2 3601-7200")
	if b.Len() != 0 {
		t.Errorf("%d flows are stranded", b.Len())
	}
}

// TestClockSetBackTwice: the wait begins anew with every step, and a packet in between counts as one.
func TestClockSetBackTwice(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, 3*hour, ack)
	b.Lap(ns(2 * hour))
	b.Lap(ns(hour))
	b.Lap(ns(hour + 10))
	b.see(1, 3*hour+1, ack)
	b.Lap(ns(hour + 20))
	b.want()
	b.Lap(ns(hour + 34))
	b.want()
	b.Lap(ns(hour + 35))
	b.want("idle 2 10800-10801")
}

func TestClockSetForwardEndsFlows(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, hour, ack)
	b.Lap(ns(2 * hour))
	b.want("idle 1 3600-3600")
}

func TestPacketsOutOfOrder(t *testing.T) {
	b := newTable(t, defaults(10))
	for _, at := range []float64{10, 8, 12, 7, 11} {
		b.see(1, at, ack)
	}
	b.Lap(ns(26.9))
	b.want()
	b.Lap(ns(27))
	b.want("idle 5 7-12")
	if s := b.Stats(); s.NegativeSpans != 3 {
		t.Errorf("%d negative spans, want 3", s.NegativeSpans)
	}
}

// TestOddStampInThePast: one packet with a wild stamp, while the clock goes on, neither freezes the flow nor hides its age.
func TestOddStampInThePast(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, hour, ack)
	odd := packetOf(1, 0)
	b.Account([]flow.Packet{odd}, ns(hour))
	b.want()
	b.see(1, hour+1, ack)
	b.want("active 2 0-3600")
	b.Lap(ns(hour + 16))
	b.want("idle 1 3601-3601")
}

// TestOddStampInTheFuture: the packet opens a record of its own, and the flow then goes on by the clock.
func TestOddStampInTheFuture(t *testing.T) {
	b := newTable(t, defaults(10))
	b.see(1, hour, ack)
	odd := packetOf(1, 1<<32*1e9) // as a 32-bit stamp would read in 2106
	b.Account([]flow.Packet{odd}, ns(hour))
	b.see(1, hour+1, ack)
	b.see(1, hour+2, ack)
	b.want("idle 1 3600-3600")
	b.Lap(ns(hour + 16.9))
	b.want()
	b.Lap(ns(hour + 17))
	b.want("idle 3 3601-4294967296")
}

func TestExtremeTimes(t *testing.T) {
	times := []int64{
		math.MinInt64, math.MinInt64 + 1, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64, 1 << 32 * 1e9, -1 << 62, 1 << 62,
	}
	for n := range len(times) * len(times) * len(times) {
		extremeTimes(t, times[n%10], times[n/10%10], times[n/100])
	}
}

func extremeTimes(t *testing.T, first, second, now int64) {
	t.Helper()
	b := newTable(t, defaults(2))
	b.Account([]flow.Packet{packetOf(1, first), packetOf(2, first), packetOf(1, second), packetOf(3, second)}, now)
	for range 3 {
		b.Lap(now)
	}
	b.Expire(now)
	b.Expire(second)
	b.Flush(flow.EndEOF)
	var packets uint64
	for _, r := range b.records {
		packets += r.Packets
		if r.First > r.Last {
			t.Errorf("record from %d to %d", r.First, r.Last)
		}
	}
	if packets != 4 {
		t.Errorf("times %d, %d, now %d: %d packets came out", first, second, now, packets)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}
