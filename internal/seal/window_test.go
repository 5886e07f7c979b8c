package seal_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"flowsensor/internal/seal"
)

func TestWindow(t *testing.T) {
	const (
		fresh  = seal.VerdictNew
		replay = seal.VerdictReplayed
		old    = seal.VerdictTooOld
		w      = uint64(seal.WindowBits)
		top    = uint64(math.MaxUint64)
	)
	type step struct {
		tx   uint64
		want seal.Verdict
	}
	for name, steps := range map[string][]step{
		"in order":            {{1, fresh}, {2, fresh}, {2, replay}, {1, replay}, {3, fresh}},
		"from zero":           {{0, fresh}, {0, replay}, {1, fresh}, {0, replay}},
		"reordered at first":  {{5, fresh}, {3, fresh}, {4, fresh}, {3, replay}, {5, replay}},
		"lower edge":          {{w, fresh}, {1, fresh}, {0, old}, {w + 1, fresh}, {2, fresh}, {1, old}},
		"lower edge, aligned": {{2*w - 1, fresh}, {w, fresh}, {w - 1, old}, {w, replay}},
		"seen at the edge":    {{1, fresh}, {w, fresh}, {1, replay}, {w + 1, fresh}, {1, old}},
		"jump of a window":    {{7, fresh}, {7 + w, fresh}, {7, old}, {8, fresh}, {7 + w, replay}},
		"jump of the ring":    {{7, fresh}, {7 + w + 64, fresh}, {7 + 64, old}, {7 + 65, fresh}, {7 + w + 64, replay}},
		"jump far":            {{7, fresh}, {1 << 60, fresh}, {7, old}, {1<<60 - w + 1, fresh}, {1<<60 - w, old}, {1 << 60, replay}},
		"top":                 {{top - 1, fresh}, {top, fresh}, {top, replay}, {top - w + 1, fresh}, {top - w, old}, {0, old}},
		"all there is":        {{0, fresh}, {top, fresh}, {0, old}, {top - 1, fresh}},
	} {
		var window seal.Window
		for i, s := range steps {
			if got := window.Accept(s.tx); got != s.want {
				t.Errorf("%s: step %d, %d is %s, want %s", name, i, s.tx, got, s.want)
			}
		}
	}
}

// model is a window by definition: it remembers everything.
type model struct {
	seen            map[uint64]bool
	lowest, highest uint64
}

func (m *model) accept(tx uint64) seal.Verdict {
	switch {
	case len(m.seen) == 0:
		m.lowest, m.highest = tx, tx
	case tx < m.highest && m.highest-tx >= seal.WindowBits:
		return seal.VerdictTooOld
	case m.seen[tx]:
		return seal.VerdictReplayed
	}
	m.seen[tx] = true
	m.lowest, m.highest = min(m.lowest, tx), max(m.highest, tx)
	return seal.VerdictNew
}

func TestWindowAgainstModel(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var window seal.Window
		m := model{seen: map[uint64]bool{}}
		var judged [seal.Verdicts]uint64
		next := rng.Uint64N(1 << (1 + seed))
		for range 20_000 {
			tx := next
			switch rng.IntN(10) {
			case 0, 1: // late, or seen
				tx = next - min(next, rng.Uint64N(2*seal.WindowBits))
			case 2: // a loss
				next += rng.Uint64N(1 << rng.IntN(14))
			default:
				next++
			}
			verdict := m.accept(tx)
			if got := window.Accept(tx); got != verdict {
				t.Fatalf("seed %d: %d is %s, want %s (highest %d)", seed, tx, got, verdict, m.highest)
			}
			judged[verdict]++
			want := seal.WindowStats{
				Accepted: judged[seal.VerdictNew], Replayed: judged[seal.VerdictReplayed], TooOld: judged[seal.VerdictTooOld],
				Missing: m.highest - m.lowest + 1 - uint64(len(m.seen)),
			}
			if got := window.Stats(); got != want || window.Highest() != m.highest {
				t.Fatalf("seed %d: %+v, want %+v", seed, got, want)
			}
		}
	}
}

// Reordering and duplication inside the window leave no gap behind, and a gap is what was lost.
func TestMissing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n, lost = 100_000, 97
	order := make([]uint64, 0, 2*n)
	want := uint64(0)
	for tx := uint64(1); tx <= n; tx++ {
		if tx%lost == 0 {
			want++
			continue
		}
		order = append(order, tx)
		if tx%3 == 0 {
			order = append(order, tx)
		}
	}
	for i := 0; i+500 < len(order); i += 500 {
		rng.Shuffle(500, func(a, b int) { order[i+a], order[i+b] = order[i+b], order[i+a] })
	}
	var window seal.Window
	for _, tx := range order {
		window.Accept(tx)
	}
	got := window.Stats()
	if got.Missing != want || got.TooOld != 0 || got.Accepted != n-want || got.Replayed != uint64(len(order))-got.Accepted {
		t.Errorf("%+v, want %d missing", got, want)
	}
}

func TestMissingFallsAgain(t *testing.T) {
	var window seal.Window
	for _, s := range []struct{ tx, missing uint64 }{{10, 0}, {14, 3}, {12, 2}, {11, 1}, {13, 0}, {8, 1}, {9, 0}, {9, 0}} {
		window.Accept(s.tx)
		if got := window.Stats().Missing; got != s.missing {
			t.Errorf("after %d: %d missing, want %d", s.tx, got, s.missing)
		}
	}
}

func TestBoots(t *testing.T) {
	var boots seal.Boots
	if _, _, ok := boots.Newest(); ok {
		t.Error("there is a newest boot before the first")
	}
	accept := func(boot, tx uint64, want seal.Verdict) {
		t.Helper()
		if got := boots.Accept(boot, tx); got != want {
			t.Errorf("boot %d, %d: %s, want %s", boot, tx, got, want)
		}
	}
	accept(100, 5, seal.VerdictNew)
	accept(99, 1, seal.VerdictUnknownBoot) // older than the newest, never seen
	accept(200, 1, seal.VerdictNew)
	accept(100, 5, seal.VerdictReplayed) // an older boot keeps its window
	accept(100, 6, seal.VerdictNew)
	accept(150, 1, seal.VerdictUnknownBoot) // between two known ones
	for boot := uint64(300); boot < 300+seal.MaxBoots-1; boot++ {
		accept(boot, 1, seal.VerdictNew)
	}
	accept(100, 7, seal.VerdictUnknownBoot) // the oldest gave way
	accept(200, 1, seal.VerdictReplayed)
	accept(200, 4, seal.VerdictNew)
	if boot, highest, ok := boots.Newest(); boot != 300+seal.MaxBoots-2 || highest != 1 || !ok {
		t.Errorf("newest is %d, %d", boot, highest)
	}
	want := seal.WindowStats{Accepted: 4 + seal.MaxBoots - 1, Replayed: 2, UnknownBoot: 3, Missing: 2}
	if got := boots.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The sums do not fall when a boot gives way.
func TestBootsStatsKeepWhatIsGone(t *testing.T) {
	var boots seal.Boots
	for boot := range uint64(3 * seal.MaxBoots) {
		for _, tx := range []uint64{1, 5000, 5000, 1} { // 4998 missing, one replayed, one too old
			boots.Accept(boot, tx)
		}
		n := boot + 1
		if got, want := boots.Stats(), (seal.WindowStats{Accepted: 2 * n, Replayed: n, TooOld: n, Missing: 4998 * n}); got != want {
			t.Fatalf("after %d boots: %+v, want %+v", n, got, want)
		}
	}
}

func TestWindowAllocates(t *testing.T) {
	var boots seal.Boots
	boots.Accept(1, 0)
	tx := uint64(0)
	if n := testing.AllocsPerRun(1000, func() { tx++; boots.Accept(1, tx) }); n != 0 {
		t.Errorf("%v allocations for each number", n)
	}
}
