package flowtable_test

import (
	"math/rand/v2"
	"testing"

	"flowsensor/internal/flow"
)

func TestFullTableExportsTheLeastRecentlyUsed(t *testing.T) {
	b := newTable(t, defaults(4))
	for n := range uint64(4) {
		b.see(n, float64(n), ack)
	}
	b.see(0, 4, ack) // flow 1 is now the oldest
	b.see(4, 5, ack)
	b.want("full 1 1-1")
	b.see(5, 6, ack)
	b.want("full 1 2-2")
	b.see(0, 7, ack)
	b.see(6, 8, ack)
	b.want("full 1 3-3")
	b.see(7, 9, ack)
	b.want("full 1 5-5")
	if s := b.Stats(); s.Evictions != 4 || s.Flows != 4 || b.Len() != 4 {
		t.Errorf("stats %+v", s)
	}
	b.Flush(flow.EndEOF)
	if len(b.records) != 4 {
		t.Errorf("%d records", len(b.records))
	}
}

// TestFullTableKeepsBusyFlows: a flood of new flows goes through a table half of which has packets all the time. Chosen at
// random, half the victims would be busy; the least recently used hardly ever are.
func TestFullTableKeepsBusyFlows(t *testing.T) {
	const flows = 10_000
	b := newTable(t, defaults(flows))
	at := 0.0
	see := func(n uint64) { at += 1e-6; b.see(n, at, ack) }
	for n := range uint64(flows) {
		see(n)
	}
	random := rand.New(rand.NewPCG(5, 6))
	for n := range uint64(10 * flows) {
		see(flows + n)
		for range 10 {
			see(random.Uint64N(flows / 2))
		}
	}
	busy := 0
	for _, r := range b.records {
		if r.EndReason != flow.EndFull {
			t.Fatalf("ended by %s", r.EndReason)
		}
		if r.Packets > 1 {
			busy++
		}
	}
	if limit := len(b.records) / 30; busy > limit {
		t.Errorf("%d of %d records evicted were of busy flows, at most %d expected", busy, len(b.records), limit)
	}
}

// TestFullTableInABatch: packets of one batch evict each other's flows, come for a flow that was just evicted, and for one
// that was just made.
func TestFullTableInABatch(t *testing.T) {
	b := newTable(t, defaults(3))
	var batch []flow.Packet
	for n := range uint64(200) {
		batch = append(batch, packetOf(n*n%7, int64(n)))
	}
	for len(batch) > 0 {
		n := min(50, len(batch))
		b.Account(batch[:n], batch[n-1].Time)
		batch = batch[n:]
		if b.Len() > 3 {
			t.Fatalf("%d flows in a table of 3", b.Len())
		}
	}
	b.Flush(flow.EndEOF)
	var packets uint64
	for _, r := range b.records {
		packets += r.Packets
	}
	if packets != 200 {
		t.Errorf("%d packets came out, 200 went in", packets)
	}
	if slots, overflow := b.Indexed(); slots != 0 || overflow != 0 {
		t.Errorf("the index of an empty table has %d slots used, %d displacements", slots, overflow)
	}
}

// TestFullTableAfterAStepBack: what the clock left in the future makes room before what is in use.
func TestFullTableAfterAStepBack(t *testing.T) {
	b := newTable(t, defaults(16))
	for n := range uint64(8) {
		b.see(n, 2*hour, ack)
	}
	for n := range uint64(16) {
		b.see(100+n, hour+float64(n), ack)
	}
	if len(b.records) != 8 {
		t.Errorf("%d evicted, want 8", len(b.records))
	}
	for _, r := range b.records {
		if r.First != ns(2*hour) {
			t.Errorf("a flow in use was evicted: %+v", r)
		}
	}
}

// TestEmptyEntryIsEvictedSilently: an entry whose packets have left with the active timer has no record to give.
func TestEmptyEntryIsEvictedSilently(t *testing.T) {
	b := newTable(t, defaults(1))
	for at := 0.0; at < 60; at += 10 {
		b.see(1, at, ack)
	}
	b.Lap(ns(60))
	b.want("active 6 0-50")
	b.see(2, 61, ack)
	b.want()
	if s := b.Stats(); s.Evictions != 1 || s.Created != 2 {
		t.Errorf("stats %+v", s)
	}
}
