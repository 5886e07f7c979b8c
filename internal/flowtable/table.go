package flowtable

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"flowsensor/internal/flow"
	"flowsensor/internal/hugemem"
)

// never is the due time of a free entry.
const never = math.MaxInt64

// Table is the flow table of one worker. Make one with New.
type Table struct {
	hot     []hot // the entries, numbered alike in hot, cold and dues
	cold    []cold
	dues    []int64 // nothing of an entry is due before this time; never for a free one. All that the sweep reads
	free    []uint32
	used    int   // entries from here on were not used since the table was last empty
	live    int   // flows held
	removed int   // flows that left; it only tells one moment from another
	buckets index // the part of all that is in use, see widen
	all     index
	widenAt int // flows, for which that part is too small
	seeds   seeds

	active, inactive, linger uint64 // the timers in ns
	horizon                  uint64 // the longest of them
	shift                    uint8  // see epoch
	young                    uint8  // records of fewer epochs are younger than active

	sweep    sweep
	eviction eviction
	lanes    [laneCount]lane
	record   flow.Record // what emit is shown
	emit     func(*flow.Record)

	counts    [counters]uint64
	published published
	memory    []interface{ Close() error }
}

// New makes an empty table that hands every record to emit, which must copy what it keeps and must not call the table.
// The memory is reserved here and becomes resident as the table fills.
func New(cfg Config, emit func(*flow.Record)) (*Table, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	t := &Table{
		seeds: newSeeds(), emit: emit, eviction: eviction{victims: make([]victim, 0, laneCount)},
		active: uint64(cfg.Active), inactive: uint64(cfg.Inactive), linger: uint64(cfg.Linger),
	}
	t.horizon = max(t.active, t.inactive, t.linger)
	t.shift = uint8(max(bits.Len64(t.horizon)-6, 0))
	t.young = uint8(t.active >> t.shift)
	if err := t.reserve(cfg.MaxFlows); err != nil {
		return nil, fmt.Errorf("flow table of %d flows: %w", cfg.MaxFlows, errors.Join(err, t.Close()))
	}
	return t, nil
}

// reserve gets the table's memory.
func (t *Table) reserve(flows int) error {
	var errs [5]error
	t.hot, errs[0] = block[hot](t, flows)
	t.cold, errs[1] = block[cold](t, flows)
	t.dues, errs[2] = block[int64](t, flows)
	t.free, errs[3] = block[uint32](t, flows)
	t.all, errs[4] = block[bucket](t, bucketsFor(flows))
	t.free = t.free[:0]
	t.buckets, t.widenAt = t.all, math.MaxInt
	if len(t.all) > firstBuckets {
		t.buckets, t.widenAt = t.all[:firstBuckets], firstBuckets*bucketFill
	}
	return errors.Join(errs[:]...)
}

// block makes one array, whose block the table will close.
func block[T any](t *Table, n int) ([]T, error) {
	b, err := hugemem.Make[T](n)
	if err != nil {
		return nil, err
	}
	t.memory = append(t.memory, b)
	return b.Slice(), nil
}

// Close gives the table's memory back; what it still held is lost, so Flush comes first. Only Stats and Close may be
// called afterwards.
func (t *Table) Close() error {
	var errs []error
	for _, b := range t.memory {
		errs = append(errs, b.Close())
	}
	t.memory, t.hot, t.cold, t.dues, t.free, t.buckets, t.all = nil, nil, nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

// Len is the number of flows held. Only the owner may ask; others read Stats.
func (t *Table) Len() int { return t.live }

// Flush emits all that is held and leaves the table empty: what is due at now under the reason why, the rest under the
// one given.
func (t *Table) Flush(now int64, reason flow.EndReason) {
	for ref := range t.used {
		if t.dues[ref] == never {
			continue
		}
		e, c := &t.hot[ref], &t.cold[ref]
		why, _ := t.due(e, c, now)
		if why == 0 {
			why = reason
		}
		t.export(e, c, why)
	}
	if t.live > 0 {
		clear(t.buckets)
		t.removed += t.live
		t.live = 0
	}
	t.rewind()
	t.publish()
}

// widen begins to use the whole index. Until there are flows for more a small part of it, which stays in the cache, serves better. It is
// done once in a table's life and moves firstBuckets*bucketFill flows at most, whatever the table's size: two milliseconds.
func (t *Table) widen() {
	clear(t.buckets)
	t.buckets, t.widenAt = t.all, math.MaxInt
	for ref := range t.used {
		if t.dues[ref] != never {
			t.buckets.insert(t.hashOf(&t.hot[ref]), uint32(ref))
		}
	}
}

// take gives the number of a free entry; there must be one.
func (t *Table) take() uint32 {
	t.live++
	if n := len(t.free); n > 0 {
		ref := t.free[n-1]
		t.free = t.free[:n-1]
		return ref
	}
	t.used++
	return uint32(t.used - 1)
}

// release takes an entry, whose record was exported, out of the table.
func (t *Table) release(hash uint64, ref uint32) {
	t.buckets.remove(hash, ref)
	t.dues[ref] = never
	t.free = append(t.free, ref)
	t.removed++
	if t.live--; t.live == 0 {
		t.rewind()
	}
}

// rewind begins to number entries from 0 again in an empty table, so that the sweep has little to read.
func (t *Table) rewind() {
	t.used, t.sweep.at, t.eviction.hand = 0, 0, 0
	t.free, t.eviction.victims = t.free[:0], t.eviction.victims[:0]
}
