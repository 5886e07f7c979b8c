package journal_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
)

func TestThrough(t *testing.T) {
	j := open(t, config(t))
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	r := readInto(t, j, d)
	const batches, records = 500, 30
	for seq := range uint64(batches) {
		a.put(batchOf(fmt.Sprintf("edge-%d", seq%3), seq, records))
	}
	a.drain()
	r.drain()
	if got := a.acknowledged(); got != batches {
		t.Fatalf("%d batches acknowledged, want %d", got, batches)
	}
	d.holds(t, a.durable)
	if d.rows() != batches*records || d.twice() != 0 {
		t.Fatalf("%d rows, %d written twice, want %d", d.rows(), d.twice(), batches*records)
	}
	as, rs, js := a.Stats(), r.Stats(), j.Stats()
	if as.Appended.Batches != batches || as.Published != batches || as.Pending != 0 || as.Unknown != 0 {
		t.Errorf("append statistics %+v", as)
	}
	if rs.Stored.Records != batches*records || rs.Stored != rs.Submitted || rs.InFlight != 0 || rs.Duplicates.Batches != 0 {
		t.Errorf("read statistics %+v", rs)
	}
	if js.Messages != 0 || js.Age != 0 {
		t.Errorf("journal statistics %+v", js)
	}
}

// A batch that comes again, under whatever circumstances, is written once.
func TestDuplicates(t *testing.T) {
	c := config(t)
	d := newDatabase(t)
	const batches, records = 50, 10
	for range 3 {
		j := open(t, c)
		a := appendTo(t, j)
		for range 2 {
			for seq := range uint64(batches) {
				a.put(batchOf("edge-1", seq, records))
			}
		}
		r := readInto(t, j, d)
		a.drain()
		r.drain()
		closeJournal(t, j)
	}
	if d.rows() != batches*records || d.twice() != 0 {
		t.Fatalf("%d rows, %d written twice, want %d and none", d.rows(), d.twice(), batches*records)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	c := config(t)
	j := open(t, c)
	a := appendTo(t, j)
	const batches, records = 300, 30
	for seq := range uint64(batches) {
		a.put(batchOf("edge-1", seq, records))
	}
	a.drain()
	closeJournal(t, j)

	j = open(t, c)
	defer closeJournal(t, j)
	await(t, "the depth", func() bool { return j.Stats().Messages > 0 && j.Stats().Age > 0 })
	d := newDatabase(t)
	r := readInto(t, j, d)
	r.drain()
	d.holds(t, a.durable)
	if d.twice() != 0 || d.rows() != batches*records {
		t.Fatalf("%d rows, %d twice", d.rows(), d.twice())
	}
}

// While the database is down the journal fills up to the bound in flight, and nothing else happens; messages wait longer
// than JetStream's patience.
func TestDatabaseDown(t *testing.T) {
	c := config(t)
	c.AckWait, c.InFlight = 300*time.Millisecond, 1000
	j := open(t, c)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	d.setDown(true)
	r := readInto(t, j, d)
	const batches, records = 400, 30
	for seq := range uint64(batches) {
		a.put(batchOf("edge-1", seq, records))
		if seq%20 == 0 {
			time.Sleep(c.GroupAge) // many messages
		}
	}
	time.Sleep(5 * c.AckWait)
	if n := r.Stats().InFlight; n > c.InFlight || n < c.InFlight/2 {
		t.Errorf("%d records in flight, want at most %d", n, c.InFlight)
	}
	d.setDown(false)
	a.drain()
	r.drain()
	d.holds(t, a.durable)
	if d.twice() != 0 || d.rows() != batches*records {
		t.Fatalf("%d rows, %d twice; %+v", d.rows(), d.twice(), r.Stats())
	}
}

// A full journal refuses, and takes again once there is room; what it took is not lost.
func TestFull(t *testing.T) {
	c := config(t)
	c.MaxSize = 1 << 20
	j := open(t, c)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	var seq uint64
	await(t, "a full journal", func() bool {
		for range 100 {
			if a.Append(batchOf("edge-1", seq, 30)) == nil {
				seq++
			}
		}
		return a.Stats().Blocked == 1
	})
	if err := a.Append(batchOf("edge-1", seq, 30)); err != journal.ErrFull { //nolint:errorlint // it is promised as it is
		t.Fatalf("append to a full journal: %v", err)
	}
	if a.Stats().Full.Batches == 0 || j.Stats().MaxBytes != 1<<20 {
		t.Errorf("statistics: %+v, %+v", a.Stats(), j.Stats())
	}
	r := readInto(t, j, d)
	a.put(batchOf("edge-1", seq, 30))
	a.drain()
	r.drain()
	if got := a.acknowledged(); got != int(seq)+1 {
		t.Fatalf("%d acknowledged of %d taken", got, seq+1)
	}
	d.holds(t, a.durable)
}

// What goes to one shard is not taken for a repetition of what goes to another.
func TestShards(t *testing.T) {
	c := config(t)
	c.Shards, c.GroupBytes = 3, 2000
	j := open(t, c)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	r := readInto(t, j, d)
	const sensors, batches = 10, 40
	for seq := range uint64(batches) {
		for i := range sensors {
			a.put(batchOf(fmt.Sprintf("edge-%d", i), seq, 2))
		}
	}
	a.drain()
	r.drain()
	d.holds(t, a.durable)
	if d.rows() != sensors*batches*2 {
		t.Errorf("%d rows, want %d", d.rows(), sensors*batches*2)
	}
}

// Whatever a batch holds takes room: a next stage with places for InFlight points refuses none, also while it stands still.
func TestReadingsTakeRoom(t *testing.T) {
	c := config(t)
	c.InFlight, c.GroupBytes = 100, 1000
	j := open(t, c)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	d.setDown(true)
	var out atomic.Int64
	var most atomic.Int64
	r := &reading{t: t}
	r.Reader = j.Reader(func(b *flow.Batch) error {
		points := int64(len(b.Records))
		for range flow.Groups(b.Readings) {
			points++
		}
		most.Store(max(most.Load(), out.Add(points)))
		d.queue <- work{b, r.Reader}
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	r.run.Go(func() { _ = r.Run(ctx) })
	defer r.kill()
	for seq := range uint64(200) {
		b := batchOf("edge-1", seq, 10)
		if seq%2 == 0 {
			b.Content, b.Records = flow.SensorReadings, nil
			for i := range 10 {
				b.Readings = append(b.Readings, flow.Reading{Subject: fmt.Sprint("eth", i), Name: "received", Value: 1})
			}
		}
		a.put(b)
	}
	a.drain()
	await(t, "what there is room for", func() bool { return out.Load() >= int64(c.InFlight)/2 })
	time.Sleep(200 * time.Millisecond)
	if most.Load() > int64(c.InFlight) {
		t.Errorf("%d points were out at once, %d may be", most.Load(), c.InFlight)
	}
	d.setDown(false)
}
