package rollup

import "math/bits"

// key is what cells are found by: comparable, and hashed with a seed of the process so that no sender can choose
// keys that collide.
type key interface {
	comparable
	hash(seed uint64) uint64
}

// table holds the cells of a window: an index by open addressing over cells that stand in pages, in the order they came.
// It holds no pointer in its cells and gives no memory back before it is itself let go. The zero value is not usable. Not
// safe for concurrent use.
type table[K key, V any] struct {
	seed  uint64
	slots []uint64 // 0, or the hash's high half and the cell's number + 1
	shift uint     // of a hash for its place
	pages [][]cell[K, V]
	count int
}

type cell[K key, V any] struct {
	key   K
	value V
}

const (
	pageBits  = 12
	pageCells = 1 << pageBits
	firstBits = 10
)

func newTable[K key, V any](seed uint64) *table[K, V] {
	return &table[K, V]{seed: seed, slots: make([]uint64, 1<<firstBits), shift: 64 - firstBits}
}

// cell gives the cell with a number below count.
func (t *table[K, V]) cell(number uint32) *cell[K, V] {
	return &t.pages[number>>pageBits][number&(pageCells-1)]
}

// at gives the value of a key and the number of its cell, made when it is missing and fewer than limit cells are there.
// Otherwise nil.
func (t *table[K, V]) at(k *K, limit int) (*V, uint32) {
	h := (*k).hash(t.seed)
	mask := uint64(len(t.slots) - 1)
	const high = ^uint64(0xffffffff)
	for place := h >> t.shift; ; place = (place + 1) & mask {
		slot := t.slots[place]
		if slot == 0 {
			if t.count >= limit {
				return nil, 0
			}
			t.slots[place] = h&high | uint64(t.count+1)
			return t.add(k)
		}
		if (slot^h)&high == 0 {
			number := uint32(slot) - 1
			if c := t.cell(number); c.key == *k {
				return &c.value, number
			}
		}
	}
}

// add makes a cell, whose slot is taken already.
func (t *table[K, V]) add(k *K) (*V, uint32) {
	number := uint32(t.count)
	if int(number>>pageBits) == len(t.pages) {
		t.pages = append(t.pages, make([]cell[K, V], pageCells))
	}
	t.count++
	c := t.cell(number)
	var zero V
	c.key, c.value = *k, zero
	if t.count > len(t.slots)/4*3 {
		t.grow()
	}
	return &c.value, number
}

// grow doubles the index. The half of the hash that the slots keep is enough for their new places.
func (t *table[K, V]) grow() {
	old := t.slots
	t.slots, t.shift = make([]uint64, 2*len(old)), t.shift-1
	mask := uint64(len(t.slots) - 1)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		place := slot >> t.shift
		for t.slots[place] != 0 {
			place = (place + 1) & mask
		}
		t.slots[place] = slot
	}
}

// reset makes the table empty and keeps its memory.
func (t *table[K, V]) reset() {
	clear(t.slots)
	t.count = 0
}

// mix folds a word into a hash: a multiplication of 64 by 64 bits, its halves taken together.
func mix(h, word uint64) uint64 {
	hi, lo := bits.Mul64(h^word, 0x9e3779b97f4a7c15)
	return hi ^ lo
}
