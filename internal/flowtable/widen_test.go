package flowtable_test

import (
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
)

// A table that outgrows the part of its index that it began with finds every flow again, the ended ones excepted.
func TestWideningKeepsTheFlows(t *testing.T) {
	const flows, gone = 2 * flowtable.FirstFlows, flowtable.FirstFlows / 3
	b := newTable(t, defaults(flows))
	key := func(n int) flow.Key { return flow.Key{Src: flow.Addr{Lo: uint64(n)}, Proto: flow.ProtoUDP, Version: 4} }
	account := func(from, to int, now int64) {
		for n := from; n < to; n++ {
			b.Account([]flow.Packet{{Key: key(n), Packets: 1, Bytes: 100, Time: now}}, now)
		}
	}
	const later = int64(20 * time.Second)
	account(0, gone, 0) // these are over before the table widens, so that it has free entries
	for range 4 {
		b.Lap(later)
	}
	if b.Len() != 0 || len(b.records) != gone {
		t.Fatalf("%d flows and %d records, %d of them should have ended", b.Len(), len(b.records), gone)
	}
	small := b.Buckets()
	for last, n := 0, 0; n < flows; n++ {
		account(n, n+1, later)
		if now := b.Buckets(); now != small && last == small && n != flowtable.FirstFlows {
			t.Errorf("with flow %d the index goes from %d buckets to %d, not with flow %d", n, last, now, flowtable.FirstFlows)
		}
		last = b.Buckets()
	}
	if b.Buckets() < flows/12*2 {
		t.Errorf("%d buckets for %d flows", b.Buckets(), flows)
	}
	account(0, flows, later)
	if slots, _ := b.Indexed(); b.Len() != flows || slots != flows || b.Stats().Created != gone+flows {
		t.Errorf("%d flows, %d in the index, %d created: want %d, %d, %d", b.Len(), slots, b.Stats().Created, flows, flows, gone+flows)
	}
	b.Flush(later, flow.EndShutdown)
	if slots, overflow := b.Indexed(); slots != 0 || overflow != 0 {
		t.Errorf("%d slots and %d displacements are left", slots, overflow)
	}
	for _, r := range b.records[gone:] {
		if r.Packets != 2 {
			t.Fatalf("a record of %d packets, want 2", r.Packets)
		}
	}
}

// A small table has its whole index from the start.
func TestSmallTablesDoNotWiden(t *testing.T) {
	for flows, want := range map[int]int{8: 2, 1000: 167, flowtable.FirstFlows / 2: flowtable.FirstFlows/12 + 1} {
		if got := newTable(t, defaults(flows)).Buckets(); got != want {
			t.Errorf("a table of %d flows begins with %d buckets, want %d", flows, got, want)
		}
	}
}
