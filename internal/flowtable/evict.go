package flowtable

import (
	"math"

	"flowsensor/internal/flow"
)

// A victim is chosen among neighbours, whose cache lines come cheapest: at least sampleLeast of them, and on to sampleMost
// while none has waited nearly as long as victims usually do. A table of sampleMost flows or fewer is looked through.
const (
	sampleLeast = 4
	sampleMost  = 16
)

// victim is an entry chosen to make room, unless a packet comes for it before the room is needed.
type victim struct {
	seen int64
	ref  uint32
}

// eviction is the state of making room in a full table.
type eviction struct {
	hand    int      // where the next sample begins; it goes round
	usual   uint64   // moving average of how long victims had waited
	victims []victim // on their way into the cache; the last is the next to go
}

// anticipate has the memory brought in that the nth new flow from now will need: a free entry or, in a full table, the
// one that is to make room for it.
func (t *Table) anticipate(nth int, now int64) {
	ref := t.used + nth - len(t.free)
	switch {
	case nth < len(t.free):
		ref = int(t.free[len(t.free)-1-nth])
		prefetchHot(&t.hot[ref])
	case ref < len(t.hot):
		prefetchHot(&t.hot[ref])
	case ref-len(t.hot) >= len(t.eviction.victims):
		ref = int(t.choose(now))
		prefetchBucket(&t.buckets[t.buckets.home(t.hashOf(&t.hot[ref]))])
	default:
		return
	}
	prefetchCold(&t.cold[ref])
	prefetchDue(&t.dues[ref])
}

// choose picks the entry of a full table that is the next to make room: of those under the hand the one whose last packet
// is the longest ago.
func (t *Table) choose(now int64) uint32 {
	v := &t.eviction
	enough := v.usual - v.usual/4
	if len(t.hot) <= sampleMost {
		enough = math.MaxUint64
	}
	var oldest int
	var longest uint64
	for looked := 0; looked < sampleLeast || looked < sampleMost && longest < enough; looked++ {
		if waited := t.waited(v.hand, now); waited >= longest {
			longest, oldest = waited, v.hand
		}
		if v.hand++; v.hand == len(t.hot) {
			v.hand = 0
		}
	}
	v.usual += longest/16 - v.usual/16
	for i := v.hand; i < min(v.hand+sampleLeast, len(t.hot)); i++ {
		prefetchHot(&t.hot[i])
	}
	v.victims = append(v.victims, victim{t.hot[oldest].seen, uint32(oldest)})
	return uint32(oldest)
}

// waited is how long an entry has had no packet. What a clock set back has left further in the future than any timer
// reaches has waited longest of all.
func (t *Table) waited(ref int, now int64) uint64 {
	waited := uint64(now) - uint64(t.hot[ref].seen)
	if ahead := -waited; ahead <= t.horizon {
		return 0
	}
	return waited
}

// evict makes room in a full table: a victim that saw no packet meanwhile is exported and leaves.
func (t *Table) evict(now int64) {
	v := &t.eviction
	for {
		if len(v.victims) == 0 {
			t.choose(now)
		}
		last := v.victims[len(v.victims)-1]
		v.victims = v.victims[:len(v.victims)-1]
		if e := &t.hot[last.ref]; e.seen == last.seen {
			t.counts[evictions]++
			t.export(e, &t.cold[last.ref], flow.EndFull)
			t.release(t.hashOf(e), last.ref)
			return
		}
	}
}
