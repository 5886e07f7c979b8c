package journal_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
)

// storing is a reader with a pool that writes to a real InfluxDB.
type storing struct {
	t      *testing.T
	reader *journal.Reader
	pool   *store.Pool
	close  func() error
	dead   *store.DeadLetters
	run    sync.WaitGroup
	stop   context.CancelFunc
}

func storeInto(t *testing.T, j *journal.Journal, server *influxtest.Server, inFlight int) *storing {
	t.Helper()
	writer, err := influx.Open(influx.Config{URL: server.URL(), API: influx.V1, Database: "flows", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: filepath.Join(t.TempDir(), "dead"), MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s := &storing{t: t, close: writer.Close, dead: dead}
	cfg := store.DefaultConfig()
	cfg.Queue, cfg.Age = inFlight, 50*time.Millisecond
	cfg.RetryInitial, cfg.RetryMax = 20*time.Millisecond, 200*time.Millisecond
	s.pool, err = store.NewPool(cfg, store.Deps{Writer: writer, DeadLetters: dead, Log: logger(t), Release: s.release})
	if err != nil {
		t.Fatal(err)
	}
	s.reader = j.Reader(s.pool.Submit)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.run.Go(func() { _ = s.pool.Run(ctx) })
	s.run.Go(func() { _ = s.reader.Run(ctx) })
	return s
}

func (s *storing) release(b *flow.Batch, outcome store.Outcome) {
	if outcome == store.Stored {
		s.reader.Stored(b)
	} else {
		s.reader.Unstored(b)
	}
}

// end stops at once: what is being written is broken off.
func (s *storing) end() {
	s.t.Helper()
	s.stop()
	s.run.Wait()
	if err := s.close(); err != nil {
		s.t.Error(err)
	}
	if err := s.dead.Close(); err != nil {
		s.t.Error(err)
	}
}

// Through resends, an InfluxDB that is away, a writer that is broken off and a restart, a real database holds each record
// once.
func TestInfluxDB(t *testing.T) {
	server := influxtest.WithDatabase(t, "flows")
	c := config(t)
	c.InFlight, c.GroupBytes = 10_000, 16<<10
	j := open(t, c)
	a := appendTo(t, j)
	const batches, records = 2000, 30
	var packets, octets uint64
	put := func(from, to uint64) {
		for seq := from; seq < to; seq++ {
			b := batchOf("edge-1", seq, records)
			for i := range b.Records {
				packets += b.Records[i].Packets
				octets += b.Records[i].Bytes
			}
			a.put(b)
			a.put(batchOf("edge-1", seq-min(seq, 7), records)) // one that was sent before
		}
	}
	s := storeInto(t, j, server, c.InFlight)
	put(0, 500)
	await(t, "rows", func() bool { return s.pool.Stats().Written.Records > 5000 })

	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	put(500, 1000)
	await(t, "failing writers", func() bool { return s.pool.Stats().Failing > 0 })
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	written := s.pool.Stats().Written.Records
	await(t, "rows after the outage", func() bool { return s.pool.Stats().Written.Records > written+1000 })
	s.end()

	s = storeInto(t, j, server, c.InFlight)
	put(1000, 1500)
	await(t, "rows of the second writer", func() bool { return s.reader.Stats().Stored.Records > 1000 })
	s.end()
	a.drain()
	closeJournal(t, j)

	j = open(t, c)
	defer closeJournal(t, j)
	a = appendTo(t, j)
	s = storeInto(t, j, server, c.InFlight)
	put(1500, batches)
	a.drain()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.reader.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	st := s.reader.Stats()
	s.end()
	t.Logf("last writer: %+v", st)
	if st.Duplicates.Batches < (batches-1500)/2 {
		t.Errorf("%d duplicates were skipped: the checkpoint is not asked", st.Duplicates.Batches)
	}
	rows, err := server.Count(t.Context(), "flows", "flow", "bytes")
	if err != nil || rows != batches*records {
		t.Fatalf("%d rows in the database (%v), want %d", rows, err, batches*records)
	}
	for field, want := range map[string]uint64{"packets": packets, "bytes": octets} {
		if sum, err := server.Sum(t.Context(), "flows", "flow", field); err != nil || sum != int64(want) {
			t.Errorf("%s add up to %d (%v), want %d", field, sum, err, want)
		}
	}
}
