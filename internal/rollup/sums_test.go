package rollup_test

import (
	"slices"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/rollup"
)

// Whatever the times and counts, all measurements add up to what went in, and every minute of traffic to that minute of
// conversations.
func TestSumsAgree(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(seed)
		batches := w.batches(10, 12)
		d := database{}
		d.write(closed(t, config(), window, batches))
		d.check(t, sumOf(batches))
		traffic, conversation := d.sums("traffic", minute), d.sums("conversation", minute)
		if len(traffic) < 2 || len(traffic) != len(conversation) {
			t.Fatalf("%d minutes of traffic, %d of conversations", len(traffic), len(conversation))
		}
		for at, s := range traffic {
			if conversation[at] != s {
				t.Errorf("minute %d: traffic %+v, conversations %+v", at, s, conversation[at])
			}
		}
	}
}

// The order of the batches of a window does not matter.
func TestOrderDoesNotMatter(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(seed)
		batches := w.batches(10, 12)
		want := gather(t, config(), batches)
		w.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
		if got := gather(t, config(), batches); !slices.Equal(got, want) {
			t.Fatalf("seed %d: other rows after another order", seed)
		}
	}
}

// Windows that end at another place, full or not, and windows that come again, leave the same sums.
func TestWindowsDoNotMatter(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(seed)
		batches := w.batches(20, 6)
		d := database{}
		s, err := rollup.NewShard(config())
		if err != nil {
			t.Fatal(err)
		}
		number := window
		var since []*flow.Batch // the last full edge
		var edges []int
		for rest := batches; len(rest) > 0; number++ {
			n := min(1+w.IntN(10), len(rest))
			s.Open(number, networks)
			for _, b := range rest[:n] {
				s.Add(b, attribute(b))
			}
			since, edges, rest = append(since, rest[:n]...), append(edges, n), rest[n:]
			if len(rest) > 0 && w.IntN(3) > 0 {
				d.write(s.Close(rollup.Tick))
				continue
			}
			d.write(s.Close(rollup.Full))
			before := len(d)
			again(t, d, number-int64(len(edges))+1, since, edges)
			if len(d) != before {
				t.Fatalf("%d rows, %d after the windows came again", before, len(d))
			}
			since, edges = nil, nil
		}
		d.check(t, sumOf(batches))
	}
}

// again gathers windows once more, as another process does after a crash.
func again(t *testing.T, d database, number int64, batches []*flow.Batch, edges []int) {
	t.Helper()
	s, err := rollup.NewShard(config())
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range edges {
		s.Open(number+int64(i), networks)
		for _, b := range batches[:n] {
			s.Add(b, attribute(b))
		}
		batches = batches[n:]
		edge := rollup.Tick
		if i == len(edges)-1 {
			edge = rollup.Full
		}
		d.write(s.Close(edge))
	}
}
