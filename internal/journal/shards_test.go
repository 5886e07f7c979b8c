package journal_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"flowsensor/internal/journal"
)

// A batch whose acknowledgement got lost comes again after a change of journal.shards, in another shard: it is known there.
func TestShardsChange(t *testing.T) {
	c := config(t)
	d := newDatabase(t)
	const sensors, batches = 40, 5
	for i, shards := range []int{1, 4, 2, 1} {
		c.Shards = shards
		j := open(t, c)
		a, r := appendTo(t, j), readInto(t, j, d)
		for n := range sensors {
			for seq := range uint64(batches) {
				a.put(batchOf(fmt.Sprintf("edge-%d", n), seq, 2))
			}
		}
		a.drain()
		await(t, "all batches", func() bool { return j.Stats().Messages == 0 && j.Stats().Up })
		r.drain()
		again := r.Stats().Duplicates.Batches
		closeJournal(t, j)
		if want := uint64(sensors * batches); i > 0 && again != want {
			t.Errorf("with %d shards %d batches are known, want %d", shards, again, want)
		}
	}
	if d.rows() != sensors*batches*2 || d.twice() != 0 {
		t.Errorf("%d rows, %d of them written twice", d.rows(), d.twice())
	}
}

// What waits was divided in the old way: until it is gone the number of shards stays.
func TestShardsChangeWhileMessagesWait(t *testing.T) {
	c := config(t)
	fill(t, c)
	changed := c
	changed.Shards = 3
	_, err := journal.Open(changed, slog.New(slog.DiscardHandler))
	if !errors.Is(err, journal.ErrShards) || !strings.Contains(err.Error(), "messages wait that were divided among 1: set it back until the journal is empty") {
		t.Fatalf("opened: %v", err)
	}
	d := newDatabase(t)
	j := open(t, c)
	r := readInto(t, j, d)
	await(t, "an empty journal", func() bool { return d.rows() == 1500 })
	r.drain()
	closeJournal(t, j)
	closeJournal(t, open(t, changed))
}

// In a cluster the processes with the old number go on, and the one with the new takes over once they are through.
func TestShardsChangeInCluster(t *testing.T) {
	cluster := startCluster(t, 1)
	c := cluster.config(t)
	d := newDatabase(t)
	old := open(t, c)
	a := appendTo(t, old)
	a.put(batchOf("edge-1", 1, 2))
	a.drain()

	c.Shards = 2
	var log lockedBuffer
	next, err := journal.Open(c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the reason", func() bool { return strings.Contains(log.String(), "set it back until the journal is empty") })
	if next.Stats().Up {
		t.Error("it is used")
	}
	r := readInto(t, old, d)
	await(t, "rows", func() bool { return d.rows() == 2 })
	r.drain()
	closeJournal(t, old)
	await(t, "the change", func() bool { return next.Stats().Up })

	again, reading := appendTo(t, next), readInto(t, next, d)
	again.put(batchOf("edge-1", 1, 2))
	await(t, "the batch that comes again", func() bool { return reading.Stats().Duplicates.Batches == 1 })
	again.drain()
	reading.drain()
	closeJournal(t, next)
	if d.twice() != 0 {
		t.Errorf("%d rows were written twice", d.twice())
	}
}
