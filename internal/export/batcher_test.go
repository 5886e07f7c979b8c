package export_test

import (
	"context"
	"testing"
	"time"

	"flowsensor/internal/export"
)

// idle is a Sender that nobody runs: its queue only fills.
func idle(tb testing.TB, queue int) *export.Sender {
	tb.Helper()
	in := newSink(tb, "127.0.0.1:0")
	cfg := config(in.addr.String(), newKey(tb))
	cfg.Queue = queue
	return newSender(tb, cfg)
}

// TestAddAllocatesNothing covers a queue that takes batches and one that is full. Nobody sends meanwhile: AllocsPerRun
// counts what all goroutines allocate.
func TestAddAllocatesNothing(t *testing.T) {
	r := record(1)
	for name, queue := range map[string]int{"full": 2, "taking": 256} {
		b := idle(t, queue).Batcher("eth0")
		var now int64
		allocs := testing.AllocsPerRun(100, func() {
			for range 2*export.BatchRecords - 1 {
				b.Add(&r)
			}
			now += int64(time.Second)
			b.Flush(now)
		})
		if allocs != 0 {
			t.Errorf("queue %s: %v allocations for two batches", name, allocs)
		}
		b.Close()
	}
}

// TestFullQueueDropsWholeBatches counts what finds no room, by batches.
func TestFullQueueDropsWholeBatches(t *testing.T) {
	const places = 3
	s := idle(t, places)
	b := s.Batcher("eth0")
	var added, kept export.Amount
	for i := range 5 * export.BatchRecords {
		r := record(i)
		b.Add(&r)
		added = added.Plus(export.Amount{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
		if i < places*export.BatchRecords {
			kept = added
		}
	}
	stats := s.Stats()
	if stats.QueueDepth != places || stats.QueueCapacity != places {
		t.Errorf("queue holds %d of %d", stats.QueueDepth, stats.QueueCapacity)
	}
	if got := stats.Dropped[export.QueueFull]; got != added.Minus(kept) {
		t.Errorf("dropped %+v, want %+v", got, added.Minus(kept))
	}
	if stats.Pending != kept {
		t.Errorf("pending %+v, want %+v", stats.Pending, kept)
	}
	b.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stats = s.Stats()
	checkLedger(t, stats, added)
	if got := stats.Dropped[export.Shutdown]; got != kept {
		t.Errorf("dropped at shutdown %+v, want %+v", got, kept)
	}
}

// TestFlushAge: records are handed over at half of the interval after the Flush before the first of them, not earlier.
func TestFlushAge(t *testing.T) {
	s := idle(t, 8) // flush interval 40 ms
	b := s.Batcher("eth0")
	defer b.Close()
	const start = int64(1e15) // a monotonic clock of any origin
	ms := func(n int64) int64 { return start + n*int64(time.Millisecond) }
	for i, step := range []struct {
		at    int64
		add   int
		depth int
	}{
		{at: 0, depth: 0},  // nothing to hand over
		{at: 5, add: 1},    // the Flush at 5 comes first, then the record
		{at: 15, add: 1},   // a younger one changes nothing
		{at: 24, depth: 0}, // 19 ms
		{at: 25, depth: 1}, // 20 ms
		{at: 26, add: 1, depth: 1},
		{at: 45, depth: 1},
		{at: 46, depth: 2},
		{at: 500, depth: 2},
	} {
		b.Flush(ms(step.at))
		if got := s.Stats().QueueDepth; got != step.depth {
			t.Errorf("step %d: %d batches in the queue, want %d", i, got, step.depth)
		}
		for range step.add {
			r := record(i)
			b.Add(&r)
		}
	}
}

// TestWaitForRoom: a patient Batcher waits, until its context ends, until the sender stops, and while there is hope.
func TestWaitForRoom(t *testing.T) {
	fill := func(b *export.Batcher, batches int) {
		for i := range batches * export.BatchRecords {
			r := record(i)
			b.Add(&r)
		}
	}
	t.Run("context", func(t *testing.T) {
		s := idle(t, 1)
		b := s.Batcher("eth0")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		b.WaitForRoom(ctx)
		fill(b, 2)
		if ctx.Err() == nil {
			t.Error("did not wait")
		}
		if got := s.Stats().Dropped[export.Shutdown].Records; got != export.BatchRecords {
			t.Errorf("%d records dropped", got)
		}
		b.Close()
	})
	t.Run("stopped", func(t *testing.T) {
		s := idle(t, 1)
		b := s.Batcher("eth0")
		b.WaitForRoom(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); fill(b, 3); b.Close() }()
		eventually(t, "full queue", func() bool { return s.Stats().Added.Records == 2*export.BatchRecords })
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-done
		stats := s.Stats()
		if got := stats.Dropped[export.Shutdown]; got != stats.Added || got.Records != 3*export.BatchRecords {
			t.Errorf("dropped %+v of %+v", got, stats.Added)
		}
	})
	t.Run("drained", func(t *testing.T) {
		s := idle(t, 1)
		b := s.Batcher("eth0")
		b.WaitForRoom(t.Context())
		go func() { fill(b, 20); b.Close() }()
		if err := s.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		stats := s.Stats()
		if stats.Sent.Records != 20*export.BatchRecords || stats.Sent != stats.Added {
			t.Errorf("sent %+v of %+v", stats.Sent, stats.Added)
		}
	})
}
