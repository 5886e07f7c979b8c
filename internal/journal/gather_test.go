package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
)

// windowed is what was stored of windows: what their rows were made of. It outlives readers.
type windowed struct {
	t testing.TB

	mu       sync.Mutex
	contents map[int64]string // of ticks and full windows, by number: batches in their order
	full     map[int64]string // of what full windows end, by the number that they end with
	rewrites int
	down     bool
	config   string
}

func newWindowed(tb testing.TB) *windowed {
	tb.Helper()
	return &windowed{t: tb, contents: make(map[int64]string), full: make(map[int64]string)}
}

func (w *windowed) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// keep stores a window: when it was stored before, it must have been the same.
func (w *windowed) keep(in map[int64]string, number int64, content string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return errors.New("down")
	}
	if old, known := in[number]; known {
		w.rewrites++
		if old != content {
			w.t.Errorf("window %d was stored as %s and as %s", number, old, content)
		}
	}
	in[number] = content
	return nil
}

// gatherer makes a row of each window and of each full one.
type gatherer struct {
	to      *windowed
	number  int64
	batches string // of the open window
	all     string // since the last full edge
}

func (g *gatherer) Config() string { return g.to.config }

func (g *gatherer) Open(number int64) {
	if number <= g.number {
		g.to.t.Errorf("window %d opens after %d", number, g.number)
	}
	g.number = number
}

func (g *gatherer) Add(b *flow.Batch) {
	g.batches += fmt.Sprintf(" %s/%d", b.Sensor, b.Seq)
	g.all += fmt.Sprintf(" %s/%d", b.Sensor, b.Seq)
}

func (g *gatherer) Close(edge journal.Edge) func(context.Context) error {
	number, batches, all := g.number, g.batches, g.all
	g.batches = ""
	if edge == journal.Full {
		g.all = ""
	}
	return func(ctx context.Context) error {
		for {
			err := g.to.keep(g.to.contents, number, batches)
			if err == nil && edge == journal.Full {
				err = g.to.keep(g.to.full, number, all)
			}
			if err == nil {
				return nil
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func gatherInto(tb testing.TB, j *journal.Journal, d *database, w *windowed) *reading {
	tb.Helper()
	r := &reading{t: tb}
	r.Reader = j.Reader(func(b *flow.Batch) error {
		d.queue <- work{b, r.Reader}
		return nil
	})
	r.Gather(func(int) journal.Gatherer { return &gatherer{to: w} })
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.run.Go(func() { _ = r.Run(ctx) })
	return r
}

// holds checks that the windows hold each batch of edge-1 once.
func (w *windowed) holds(batches int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, in := range map[string]map[int64]string{"windows": w.contents, "full windows": w.full} {
		times := make(map[string]int)
		for _, content := range in {
			for batch := range splitFields(content) {
				times[batch]++
			}
		}
		for seq := range batches {
			if n := times[fmt.Sprintf("edge-1/%d", seq)]; n != 1 {
				w.t.Errorf("%s hold batch %d %d times", name, seq, n)
				return
			}
		}
		if len(times) != batches {
			w.t.Errorf("%s hold %d batches, want %d", name, len(times), batches)
		}
	}
}

func splitFields(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i := range len(text) + 1 {
			if i == len(text) || text[i] == ' ' {
				if i > start && !yield(text[start:i]) {
					return
				}
				start = i + 1
			}
		}
	}
}

func gatherConfig(tb testing.TB) journal.Config {
	tb.Helper()
	c := config(tb)
	c.Window, c.Windows = 100*time.Millisecond, 3
	c.GroupBytes, c.GroupAge = 2000, 5*time.Millisecond
	return c
}

// Windows end by the time of the messages, and by the clock when no message comes; the end of everything ends them early.
func TestGather(t *testing.T) {
	c := gatherConfig(t)
	j := open(t, c)
	defer closeJournal(t, j)
	a, d, w := appendTo(t, j), newDatabase(t), newWindowed(t)
	r := gatherInto(t, j, d, w)
	const batches = 60
	for seq := range uint64(batches - 1) {
		a.put(batchOf("edge-1", seq, 3))
		time.Sleep(10 * time.Millisecond)
	}
	await(t, "the windows of what was put", func() bool {
		return j.Stats().Messages == 0 || r.Stats().InFlight == 0 && w.count() == batches-1
	})
	await(t, "an empty journal", func() bool {
		st := r.Stats()
		return st.Windows > 2 && w.count() == batches-1
	})
	a.put(batchOf("edge-1", batches-1, 3))
	a.drain()
	r.drain()
	w.holds(batches)
	if n := len(w.contents); n < 4 {
		t.Errorf("%d windows in %d batches of 10 ms each", n, batches)
	}
	if len(w.full) >= len(w.contents) {
		t.Errorf("%d of %d windows end full", len(w.full), len(w.contents))
	}
	// A machine that is too busy to renew the lease makes another session, which writes again.
	if again := d.twice() + w.rewrites; d.rows() != 3*batches || again != 0 && r.Stats().Sessions == 1 {
		t.Errorf("%d rows, %d twice, %d windows rewritten", d.rows(), d.twice(), w.rewrites)
	}
}

// count is the number of batches in the windows that are stored.
func (w *windowed) count() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, content := range w.contents {
		for range splitFields(content) {
			n++
		}
	}
	return n
}

// A reader that is broken off at any moment, by itself or with the journal, leaves windows that the next one stores as they
// were, and each batch stands in one.
func TestGatherAgain(t *testing.T) {
	c := gatherConfig(t)
	random := rand.New(rand.NewPCG(5, 6))
	d, w := newDatabase(t), newWindowed(t)
	next := uint64(0)
	for range 12 {
		j := open(t, c)
		a := appendTo(t, j)
		r := gatherInto(t, j, d, w)
		for range random.IntN(60) {
			a.put(batchOf("edge-1", next, 3))
			a.put(batchOf("edge-1", next-min(next, 5), 3)) // one that was sent before
			next++
			time.Sleep(time.Duration(random.IntN(15)) * time.Millisecond)
		}
		w.setDown(random.IntN(3) == 0)
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
		a.drain()
		if random.IntN(4) == 0 {
			w.setDown(false)
			r.drain()
		}
		r.kill()
		closeJournal(t, j)
		w.setDown(false)
	}
	j := open(t, c)
	defer closeJournal(t, j)
	r := gatherInto(t, j, d, w)
	r.drain()
	w.holds(int(next))
	if d.rows() != 3*int(next) || r.Stats().Changed != 0 {
		t.Errorf("%d rows, want %d; %d windows under another configuration", d.rows(), 3*next, r.Stats().Changed)
	}
	t.Logf("%d batches in %d windows, %d of them full; %d stored again", next, len(w.contents), len(w.full), w.rewrites)
	if w.rewrites == 0 {
		t.Error("no window was stored again: the test says nothing")
	}
}

// Windows that nothing was gathered for are passed, and gathering can be switched off and on.
func TestGatherOnAndOff(t *testing.T) {
	c := gatherConfig(t)
	d, w := newDatabase(t), newWindowed(t)
	put := func(seq uint64, gathered bool) {
		j := open(t, c)
		defer closeJournal(t, j)
		a := appendTo(t, j)
		a.put(batchOf("edge-1", seq, 3))
		a.drain()
		if gathered {
			gatherInto(t, j, d, w).drain()
		} else {
			readInto(t, j, d).drain()
		}
	}
	for seq, gathered := range []bool{true, false, true, true, false} {
		put(uint64(seq), gathered)
	}
	if d.rows() != 15 {
		t.Errorf("%d rows", d.rows())
	}
	var all []string
	for _, content := range w.contents {
		all = append(all, content)
	}
	slices.Sort(all)
	if want := []string{" edge-1/0", " edge-1/2", " edge-1/3"}; !slices.Equal(all, want) {
		t.Errorf("windows %q, want %q", all, want)
	}
}

// Several shards gather apart.
func TestGatherShards(t *testing.T) {
	c := gatherConfig(t)
	c.Shards = 3
	j := open(t, c)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	r := &reading{t: t}
	r.Reader = j.Reader(func(b *flow.Batch) error { d.queue <- work{b, r.Reader}; return nil })
	shards := []*windowed{newWindowed(t), newWindowed(t), newWindowed(t)}
	r.Gather(func(shard int) journal.Gatherer { return &gatherer{to: shards[shard]} })
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.run.Go(func() { _ = r.Run(ctx) })
	const sensors, batches = 10, 40
	for seq := range uint64(batches) {
		for i := range sensors {
			a.put(batchOf(fmt.Sprintf("edge-%d", i), seq, 2))
		}
		time.Sleep(5 * time.Millisecond)
	}
	a.drain()
	r.drain()
	n := 0
	for _, w := range shards {
		n += w.count()
	}
	if n != sensors*batches || d.rows() != sensors*batches*2 {
		t.Errorf("%d batches in windows, %d rows", n, d.rows())
	}
}

// A window that is made again under another configuration is told of: its rows may be others.
func TestGatherUnderAnotherConfiguration(t *testing.T) {
	c := gatherConfig(t)
	d, w := newDatabase(t), newWindowed(t)
	w.setDown(true)
	j := open(t, c)
	a := appendTo(t, j)
	r := gatherInto(t, j, d, w)
	a.put(batchOf("edge-1", 0, 3))
	await(t, "a window that is known", func() bool { return r.Stats().Checkpoints > 1 })
	a.drain()
	r.kill()
	closeJournal(t, j)
	w.setDown(false)
	w.config = "changed"
	j = open(t, c)
	defer closeJournal(t, j)
	r = gatherInto(t, j, d, w)
	r.drain()
	if n := r.Stats().Changed; n != 1 {
		t.Errorf("%d windows under another configuration, want 1", n)
	}
	w.holds(1)
}
