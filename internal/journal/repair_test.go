package journal

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // protected by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) count(part string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), part)
}

// A disk that is gone may stay so for a night: that the server cannot be started again is said once, though it is tried each second.
func TestRepairInVainIsSaidOnce(t *testing.T) {
	var log lockedBuffer
	c := DefaultConfig()
	c.Dir, c.MinFree = t.TempDir(), 1<<20
	j, err := Open(c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	probe := filepath.Join(c.Dir, ".probe")
	if err := os.MkdirAll(filepath.Join(probe, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	j.askRepair(context.DeadlineExceeded)
	time.Sleep(3*tendPeriod + tendPeriod/2)
	if n := log.count("cannot be started again"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if err := os.RemoveAll(probe); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); log.count("trouble is over") == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it was not started again")
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
