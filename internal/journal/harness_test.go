package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// patience bounds whatever a test waits for.
const patience = 30 * time.Second

func config(tb testing.TB) journal.Config {
	tb.Helper()
	c := journal.DefaultConfig()
	c.Dir = tb.TempDir()
	c.MaxSize, c.MinFree = 64<<20, 1<<20
	c.LeaseTTL = 600 * time.Millisecond
	return c
}

func logger(tb testing.TB) *slog.Logger {
	tb.Helper()
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(testWriter{tb}, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// testWriter logs as long as the test runs.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func open(tb testing.TB, c journal.Config) *journal.Journal {
	tb.Helper()
	j, err := journal.Open(c, logger(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

func closeJournal(tb testing.TB, j *journal.Journal) {
	tb.Helper()
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
}

// await waits until a condition holds.
func await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("waited %s for %s", patience, what)
		}
	}
}

const testBoot = 1_700_000_000_000_000_000

// batchOf makes the seq-th batch of a sensor: what stands in it follows from both.
func batchOf(sensor string, seq uint64, records int) *flow.Batch {
	b := &flow.Batch{
		Sensor: sensor, Boot: testBoot, Seq: seq, Floor: seq - min(seq, 100), Base: testBoot + int64(seq)*10_000,
		Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}, Received: testBoot + int64(seq),
	}
	for i := range records {
		n := seq*1000 + uint64(i)
		b.Records = append(b.Records, flow.Record{
			Key: flow.Key{
				Version: 4, Proto: flow.ProtoTCP, Src: flow.Addr{Lo: 0x0a000000 | n&0xffff}, Dst: flow.Addr{Lo: 0xc0000201},
				SrcPort: uint16(n), DstPort: 443, IfIndex: 2,
			},
			Packets: 1 + n%7, Bytes: 100 + n%1000, First: testBoot, Last: testBoot + 1_000_000, EndReason: flow.EndIdle,
		})
	}
	return b
}

// appending is an Appender that runs, and what became of its batches.
type appending struct {
	*journal.Appender
	t    testing.TB
	stop context.CancelFunc
	run  sync.WaitGroup

	mu      sync.Mutex
	durable []*flow.Batch
	unknown int
}

func appendTo(tb testing.TB, j *journal.Journal) *appending {
	tb.Helper()
	a := &appending{t: tb}
	a.Appender = j.Appender(func(b *flow.Batch, outcome journal.Outcome) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if outcome == journal.Durable {
			a.durable = append(a.durable, b)
		} else {
			a.unknown++
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.run.Go(func() {
		if err := a.Run(ctx); err != nil {
			tb.Error(err)
		}
	})
	return a
}

// put appends a batch, waiting for room.
func (a *appending) put(b *flow.Batch) {
	a.t.Helper()
	await(a.t, "room in the journal", func() bool {
		err := a.Append(b)
		if err != nil && !errors.Is(err, journal.ErrFull) {
			a.t.Fatal(err)
		}
		return err == nil
	})
}

func (a *appending) acknowledged() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.durable)
}

func (a *appending) drain() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Drain(ctx); err != nil {
		a.t.Fatal(err)
	}
	a.stop()
	a.run.Wait()
}

// database takes batches and counts, by point, how often each was written. It stands for what a store does.
type database struct {
	mu     sync.Mutex
	points map[string]point
	down   bool
	queue  chan work
	run    sync.WaitGroup
}

type point struct {
	packets, bytes uint64
	writes         int
}

type work struct {
	batch *flow.Batch
	from  *journal.Reader
}

func newDatabase(tb testing.TB) *database {
	tb.Helper()
	d := &database{points: make(map[string]point), queue: make(chan work, 100_000)}
	d.run.Go(d.write)
	tb.Cleanup(d.close)
	return d
}

var closing sync.Map

func (d *database) close() {
	if _, twice := closing.LoadOrStore(d, true); !twice {
		close(d.queue)
		d.run.Wait()
	}
}

func (d *database) write() {
	for w := range d.queue {
		for {
			d.mu.Lock()
			if !d.down {
				break
			}
			d.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		for i := range w.batch.Records {
			key := fmt.Sprintf("%s %d", w.batch.Sensor, w.batch.Base+int64(i))
			p := d.points[key]
			p.writes++
			p.packets, p.bytes = w.batch.Records[i].Packets, w.batch.Records[i].Bytes
			d.points[key] = p
		}
		d.mu.Unlock()
		w.from.Stored(w.batch)
	}
}

func (d *database) setDown(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
}

func (d *database) rows() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.points)
}

// twice is the number of points that were written more than once.
func (d *database) twice() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.points {
		if p.writes > 1 {
			n++
		}
	}
	return n
}

// holds compares with what was acknowledged: every row, and nothing else when exact.
func (d *database) holds(t *testing.T, batches []*flow.Batch) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	missing, wrong := 0, 0
	for _, b := range batches {
		for i := range b.Records {
			p, ok := d.points[fmt.Sprintf("%s %d", b.Sensor, b.Base+int64(i))]
			switch {
			case !ok:
				missing++
			case p.packets != b.Records[i].Packets || p.bytes != b.Records[i].Bytes:
				wrong++
			}
		}
	}
	if missing > 0 || wrong > 0 {
		t.Fatalf("%d rows are missing and %d are wrong, of %d batches", missing, wrong, len(batches))
	}
}

// reading is a Reader that runs into a database.
type reading struct {
	*journal.Reader
	t    testing.TB
	stop context.CancelFunc
	run  sync.WaitGroup
}

func readInto(tb testing.TB, j *journal.Journal, d *database) *reading {
	tb.Helper()
	r := &reading{t: tb}
	r.Reader = j.Reader(func(b *flow.Batch) error {
		d.queue <- work{b, r.Reader}
		return nil
	})
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.run.Go(func() {
		if err := r.Run(ctx); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func (r *reading) drain() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.kill()
}

// kill ends the reader at once.
func (r *reading) kill() {
	r.stop()
	r.run.Wait()
}
