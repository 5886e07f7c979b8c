package flowtable_test

import (
	"slices"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
)

// send accounts packets of a flow, a second's worth of octets in one.
func (b *rig) send(number uint64, seconds float64, octets uint64) {
	p := packetOf(number, ns(seconds))
	p.Bytes = octets
	b.Account([]flow.Packet{p}, p.Time)
}

// look is a whole look in steps.
func look(t *testing.T, table *flowtable.Table, limit, step int, now int64) []flowtable.Rated {
	t.Helper()
	top := flowtable.NewTop(limit)
	for range table.Entries()/step + 2 {
		if table.Look(top, step, now) {
			return top.Flows()
		}
	}
	t.Fatal("the look does not come to its end")
	return nil
}

func ports(flows []flowtable.Rated) (all []uint16) {
	for i := range flows {
		all = append(all, flows[i].SrcPort)
	}
	return all
}

func TestTopFindsTheFastest(t *testing.T) {
	b := newTable(t, defaults(4096))
	for number := range uint64(1000) {
		b.send(number+1, 100, 1000+number) // of 1001, 1002, ... octets a second
	}
	if got, want := ports(look(t, b.Table, 3, 7, ns(100))), []uint16{1000, 999, 998}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got := look(t, b.Table, 2000, 64, ns(100.5))
	if len(got) != 1000 || !slices.IsSortedFunc(got, func(a, b flowtable.Rated) int { return int(b.Rate) - int(a.Rate) }) {
		t.Errorf("%d flows, or out of order", len(got))
	}
	first := got[0]
	if first.Rate != 1999 || first.Packets != 1 || first.Bytes != 1999 || first.First != ns(100) || first.Last != ns(100) || first.IfIndex != 2 || first.Version != 4 {
		t.Errorf("got %+v", first)
	}
	if len(b.records) != 0 || b.Len() != 1000 {
		t.Error("a look changed the table")
	}
}

// A flow that went silent falls behind one that goes on, and one that has just begun is not taken for the fastest.
func TestTopIsOfNow(t *testing.T) {
	b := newTable(t, defaults(64))
	b.send(1, 0, 100_000) // over 10 s: 10,000 a second
	b.send(2, 8, 15_000)  // over 2 s: 7,500
	b.send(2, 9, 15_000)  // now 15,000
	b.send(3, 9.999, 1500)
	if got, want := ports(look(t, b.Table, 10, 64, ns(10))), []uint16{2, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// More than 32 bits of bytes are not forgotten, even where the low ones are few.
func TestTopCountsCarries(t *testing.T) {
	b := newTable(t, defaults(64))
	b.send(1, 0, 5000)
	for range 3 {
		b.send(2, 0, 1<<32-1)
	}
	b.send(2, 0, 4)
	got := look(t, b.Table, 1, 64, ns(1))
	if got[0].SrcPort != 2 || got[0].Bytes != 3*(1<<32-1)+4 {
		t.Errorf("got %+v", got[0])
	}
}

func TestTopOfRecordsThatLeft(t *testing.T) {
	b := newTable(t, defaults(64))
	if got := look(t, b.Table, 5, 64, 0); len(got) != 0 {
		t.Errorf("an empty table has %v", got)
	}
	for s := range 60 {
		b.send(1, float64(s), 1000)
	}
	for tenth := 590.0; tenth < 620; tenth++ { // the active timer takes the record; the entry stays, empty
		b.Expire(ns(tenth / 10))
	}
	if got := look(t, b.Table, 5, 64, ns(62)); len(got) != 0 || b.Len() != 1 || len(b.records) != 1 {
		t.Errorf("%d flows held, %d records, the look finds %v", b.Len(), len(b.records), got)
	}
	top := flowtable.NewTop(5)
	if b.Look(top, 0, ns(59)) {
		t.Error("a look over nothing is through")
	}
	b.Flush(ns(59), flow.EndShutdown)
	if !b.Look(top, 10, ns(59)) || len(top.Flows()) != 0 {
		t.Error("a flushed table still has flows")
	}
}

func TestTopAllocatesNothing(t *testing.T) {
	b := newTable(t, defaults(1<<16))
	for number := range uint64(1 << 15) {
		b.send(number+1, 100, number*2654435761%9973)
	}
	tops := make([]*flowtable.Top, 20)
	for i := range tops {
		tops[i] = flowtable.NewTop(50)
	}
	i := 0
	if n := testing.AllocsPerRun(len(tops)-1, func() {
		for !b.Look(tops[i], 1000, ns(101)) {
		}
		i++
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLook(b *testing.B) {
	table, err := flowtable.New(defaults(1<<20), func(*flow.Record) {})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	batch := make([]flow.Packet, 64)
	for number := uint64(0); number < 1<<20; {
		for i := range batch {
			number++
			batch[i] = packetOf(number, int64(time.Second))
			batch[i].Src.Lo += number >> 16
			batch[i].Bytes = 40 + number*2654435761%1461
		}
		table.Account(batch, int64(time.Second))
	}
	start, entries := cpuTime(b), 0
	for b.Loop() {
		top := flowtable.NewTop(20)
		for !table.Look(top, 1<<16, int64(2*time.Second)) {
		}
		entries += table.Entries()
	}
	b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/float64(entries), "ns/entry")
}
