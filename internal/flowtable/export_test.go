package flowtable

import (
	"reflect"

	"flowsensor/internal/flow"
)

// Lap lets the sweep go round once, as Expire does in a second.
func (t *Table) Lap(now int64) {
	t.sweepOver(t.used, now)
	t.publish()
}

// FirstFlows is how many flows a large table has before it uses its whole index.
const FirstFlows = firstBuckets * bucketFill

// Buckets is how many buckets are in use.
func (t *Table) Buckets() int { return len(t.buckets) }

// Home is the bucket of a key in this table.
func (t *Table) Home(k flow.Key) int {
	ports, rest := tail(&k)
	return int(t.buckets.home(t.seeds.hash(k.Src, k.Dst, ports, rest)))
}

// Indexed counts what stands in the index: used slots, and displacements that are remembered.
func (t *Table) Indexed() (slots, overflow int) {
	for i := range t.buckets {
		for _, tag := range t.buckets[i].tags {
			if tag != 0 {
				slots++
			}
		}
		overflow += int(t.buckets[i].overflow)
	}
	return slots, overflow
}

// BytesPerFlow is the memory that one flow takes, its share of the index included.
func BytesPerFlow() float64 {
	size := func(v any) float64 { return float64(reflect.TypeOf(v).Size()) }
	return size(hot{}) + size(cold{}) + size(int64(0)) + size(uint32(0)) + size(bucket{})/bucketFill
}

// MaxEmit is about how many records a call of Expire emits at most.
const MaxEmit = maxEmit
