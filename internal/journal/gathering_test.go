package journal

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"flowsensor/internal/flow"
)

// silent gathers nothing.
type silent struct{}

func (silent) Open(int64)      {}
func (silent) Add(*flow.Batch) {}
func (silent) Config() string  { return "" }
func (silent) Close(Edge) func(context.Context) error {
	return func(context.Context) error { return nil }
}

// maxSize of the journal has room for four times as many messages as are gathered.
const maxSize = maxShare * maxGathered * 1000

// numbered drives a gathering with messages of given seconds, and gives the edges that come of it.
func numbered(t *testing.T, c *checkpoint, seconds ...int64) (edges []edge) {
	t.Helper()
	s := &session{Reader: &Reader{j: &Journal{cfg: Config{Window: 10 * time.Second, Windows: 6, MaxSize: maxSize}, log: slog.New(slog.DiscardHandler)}}}
	s.windows = newGathering(s, silent{})
	s.windows.begin(c)
	done := make(chan struct{})
	closedAll := make(chan struct{})
	go func() {
		defer close(closedAll)
		for {
			select {
			case c := <-s.windows.closed:
				edges = append(edges, c.edge)
			case <-done:
				return
			}
		}
	}()
	for i, second := range seconds {
		position := uint64(i + 1)
		if err := s.windows.before(t.Context(), position, time.Unix(second, 0), 1000); err != nil {
			t.Fatal(err)
		}
		s.last = position
		if err := s.windows.after(t.Context(), position, time.Unix(second, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.windows.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(done)
	<-closedAll
	return edges
}

func TestWindowNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		seconds []int64
		from    checkpoint
		want    []edge
	}{
		"one window":        {[]int64{60_000, 60_009}, checkpoint{}, []edge{{6000, 2, Full}}},
		"ticks":             {[]int64{60_000, 60_010, 60_045}, checkpoint{}, []edge{{6000, 1, Tick}, {6001, 2, Tick}, {6004, 3, Full}}},
		"a minute's end":    {[]int64{60_000, 60_061}, checkpoint{}, []edge{{6000, 1, Full}, {6006, 2, Full}}},
		"back a little":     {[]int64{60_010, 60_009, 60_011}, checkpoint{}, []edge{{6001, 3, Full}}},
		"number was used":   {[]int64{60_000}, checkpoint{number: 6000}, []edge{{6001, 1, Full}}},
		"clock was ahead":   {[]int64{60_000}, checkpoint{number: 6200}, []edge{{6201, 1, Full}}},
		"clock was far off": {[]int64{60_000}, checkpoint{number: 6_000_000}, []edge{{6000, 1, Full}}},
		"back after a leap": {[]int64{60_000}, checkpoint{number: 60_000, other: 6000}, []edge{{6001, 1, Full}}},
		"forth once more":   {[]int64{600_000}, checkpoint{number: 6001, other: 60_000}, []edge{{60_001, 1, Full}}},
		"known edges": {
			[]int64{60_000, 60_000, 60_000, 60_000},
			checkpoint{number: 7001, edges: []edge{{7000, 2, Tick}, {7001, 2, Tick}}},
			[]edge{{7000, 2, Tick}, {7001, 2, Tick}, {7002, 4, Full}},
		},
		"known edges, then later messages": {
			[]int64{60_000, 60_000, 60_200},
			checkpoint{number: 6030, edges: []edge{{6030, 2, Full}}},
			[]edge{{6030, 2, Full}, {6031, 3, Full}},
		},
	} {
		if got := numbered(t, &c.from, c.seconds...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// Nodes of a cluster whose clocks are hours apart lead in turn, each for less than a window: no number comes twice, and each
// is about that of its time.
func TestWindowNumbersOfTwoClocks(t *testing.T) {
	s := &session{Reader: &Reader{j: &Journal{cfg: Config{Window: 10 * time.Second}, log: slog.New(slog.DiscardHandler)}}}
	g := newGathering(s, silent{})
	seen := make(map[int64]bool)
	for second := range int64(100) {
		at := (1_700_000_000 + second) / 10
		if second%2 == 1 {
			at += 7200
		}
		g.number = g.next(at)
		if seen[g.number] || g.number < at || g.number > at+100 {
			t.Fatalf("second %d: number %d for %d, seen before: %t", second, g.number, at, seen[g.number])
		}
		seen[g.number] = true
	}
}

// So many messages end a window, whatever the time; but only once in its length.
func TestWindowOfManyMessages(t *testing.T) {
	seconds := make([]int64, 3*maxGathered)
	for i := range seconds {
		seconds[i] = 60_000
	}
	seconds = append(seconds, 60_010, 60_010)
	got := numbered(t, newCheckpoint(), seconds...)
	want := []edge{{6000, maxGathered, Full}, {6001, 3*maxGathered + 1, Full}, {6002, 3*maxGathered + 2, Full}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
