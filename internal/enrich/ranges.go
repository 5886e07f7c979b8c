package enrich

import (
	"cmp"
	"math/bits"
	"slices"
)

// ranges maps numbers to leaves by prefixes of them, flattened: starts cuts all numbers into ranges in which one prefix is
// the longest, leaves says which. A first index by the high bits leaves a few ranges to search, so a look-up among a
// million prefixes that nobody asked for lately costs three or four reads of memory, where a trie costs three at each of
// its levels. The price is that it cannot be changed, and it need not be.
type ranges[K uint32 | uint64] struct {
	base   K    // the lowest start
	last   K    // the highest start, less base
	shift  uint // from a number less base to its cell
	cells  []uint32
	starts []K // ascending
	leaves []leaf
}

// cellBits is how many high bits index the cells at most: 2 MiB in all for both IP versions.
const cellBits = 18

// find gives the leaf of a number. It does not allocate.
func (r *ranges[K]) find(k K) (leaf, bool) {
	if len(r.starts) == 0 || k < r.base {
		return 0, false
	}
	cell := min(k-r.base, r.last) >> r.shift
	// The last start at or below k lies in k's cell, or is the last one before it.
	low, n := r.cells[cell], r.cells[cell+1]-r.cells[cell]
	for n > 0 {
		half := n / 2
		if r.starts[low+half] <= k {
			low += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	l := r.leaves[low-1] // k is not below the first start
	return l, l != noLeaf
}

// entry is a prefix on its way into ranges.
type entry[K uint32 | uint64] struct {
	key  K
	leaf leaf // the prefix's length with it
	line uint32
}

// end is the last number that the prefix holds.
func (e *entry[K]) end() K { return e.key | ^K(0)>>e.leaf.bits() }

// fill flattens the prefixes, which must be masked and which it sorts. Of two that are equal it gives one.
func (r *ranges[K]) fill(entries []entry[K]) (twice *entry[K]) {
	if len(entries) == 0 {
		return nil
	}
	slices.SortFunc(entries, compareEntries[K])
	for i := range entries[1:] {
		if compareEntries(entries[i], entries[i+1]) == 0 {
			return &entries[i+1]
		}
	}
	r.cut(entries)
	r.index()
	return nil
}

// compareEntries puts a prefix before those it holds.
func compareEntries[K uint32 | uint64](a, b entry[K]) int {
	if c := cmp.Compare(a.key, b.key); c != 0 {
		return c
	}
	return cmp.Compare(a.leaf.bits(), b.leaf.bits())
}

// cut makes the ranges of sorted entries.
func (r *ranges[K]) cut(entries []entry[K]) {
	r.starts, r.leaves = make([]K, 0, len(entries)), make([]leaf, 0, len(entries))
	var open []entry[K] // those that hold the number the sweep has come to, the longest last
	for _, e := range entries {
		for len(open) > 0 && open[len(open)-1].end() < e.key {
			open = r.leave(open)
		}
		r.begin(e.key, e.leaf)
		open = append(open, e)
	}
	for len(open) > 0 {
		open = r.leave(open)
	}
	r.starts, r.leaves = slices.Clip(r.starts), slices.Clip(r.leaves)
}

// leave ends the longest prefix; the one around it goes on.
func (r *ranges[K]) leave(open []entry[K]) []entry[K] {
	end := open[len(open)-1].end()
	open = open[:len(open)-1]
	if end == ^K(0) {
		return open
	}
	if len(open) == 0 {
		r.begin(end+1, noLeaf)
	} else {
		r.begin(end+1, open[len(open)-1].leaf)
	}
	return open
}

// begin notes that from k on the leaf holds.
func (r *ranges[K]) begin(k K, l leaf) {
	switch n := len(r.starts); {
	case n > 0 && r.starts[n-1] == k: // two prefixes begin here, or two end
		r.leaves[n-1] = l
	case n == 0 || r.leaves[n-1] != l:
		r.starts, r.leaves = append(r.starts, k), append(r.leaves, l)
	}
}

// index makes the cells.
func (r *ranges[K]) index() {
	r.base = r.starts[0]
	r.last = r.starts[len(r.starts)-1] - r.base
	few := min(cellBits, bits.Len(uint(len(r.starts)))+1) // a small table needs few
	r.shift = uint(max(bits.Len64(uint64(r.last))-few, 0))
	r.cells = make([]uint32, r.last>>r.shift+2)
	cell := 0
	for i, start := range r.starts {
		for ; cell <= int((start-r.base)>>r.shift); cell++ {
			r.cells[cell] = uint32(i)
		}
	}
	r.cells[cell] = uint32(len(r.starts))
}
