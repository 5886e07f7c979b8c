package journal

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flowsensor/internal/flow"
)

// The embedded server is started again under load, as after a write error: appender and reader go on, nothing is lost.
func TestRepair(t *testing.T) {
	c := DefaultConfig()
	c.Dir, c.MinFree, c.LeaseTTL = t.TempDir(), 1<<20, 600*time.Millisecond
	j, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	var durable atomic.Int64
	a := j.Appender(func(_ *flow.Batch, outcome Outcome) {
		if outcome == Durable {
			durable.Add(1)
		}
	})
	var mu sync.Mutex
	stored := make(map[uint64]int)
	var r *Reader
	handed := make(chan *flow.Batch, 10_000)
	r = j.Reader(func(b *flow.Batch) error { handed <- b; return nil })
	run.Go(func() { _ = a.Run(ctx) })
	run.Go(func() { _ = r.Run(ctx) })
	go func() {
		for b := range handed {
			mu.Lock()
			stored[b.Seq]++
			mu.Unlock()
			r.Stored(b)
		}
	}()
	const batches = 3000
	first := j.server.server
	for seq := uint64(1); seq <= batches; {
		if seq == batches/3 {
			j.askRepair(context.DeadlineExceeded)
		}
		if a.Append(sample("edge-1", seq)) == nil {
			seq++
		}
		time.Sleep(200 * time.Microsecond)
	}
	ending, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := a.Drain(ending); err != nil {
		t.Fatal(err)
	}
	if err := r.Drain(ending); err != nil {
		t.Fatal(err)
	}
	stop()
	run.Wait()
	close(handed)
	if j.server.server == first {
		t.Error("the server was not started again")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if len(stored) != batches || durable.Load() != batches {
		t.Errorf("%d batches durable, %d stored, of %d", durable.Load(), len(stored), batches)
	}
}
