package journal

import (
	"cmp"
	"slices"
)

const (
	// windowBits is how far above its floor a window remembers sequence numbers: twice the most batches that a sensor may
	// have unacknowledged.
	windowBits  = 2048
	windowWords = windowBits / 64
	// floorLag is how far the sender's own floor is trailed. A sender that waits for no answers has its floor at the batch
	// it sends, and batches overtake each other on the way: one that comes late is not one that was given up.
	floorLag = 1024
	// maxBoots is how many starts of a sensor are remembered.
	maxBoots = 8
)

// window knows which sequence numbers of one boot were taken: all below floor, and those whose bit is set. Not safe for
// concurrent use.
type window struct {
	boot  uint64
	floor uint64
	bits  [windowWords]uint64 // of floor up to floor+windowBits-1, at seq modulo windowBits
}

func bitOf(seq uint64) (word int, bit uint64) {
	return int(seq / 64 % windowWords), 1 << (seq % 64)
}

// take reports whether seq is new, and remembers it. senderFloor is the lowest number that the sender may still send.
func (w *window) take(seq, senderFloor uint64) bool {
	if senderFloor > floorLag {
		w.raise(senderFloor - floorLag)
	}
	if seq < w.floor {
		return false
	}
	if seq-w.floor >= windowBits {
		w.raise(seq - windowBits + 1)
	}
	word, bit := bitOf(seq)
	if w.bits[word]&bit != 0 {
		return false
	}
	w.bits[word] |= bit
	w.settle()
	return true
}

// raise moves the floor up to at least floor: what is below counts as taken.
func (w *window) raise(floor uint64) {
	if floor <= w.floor {
		return
	}
	if floor-w.floor >= windowBits {
		clear(w.bits[:])
	} else {
		for seq := w.floor; seq < floor; seq++ {
			word, bit := bitOf(seq)
			w.bits[word] &^= bit
		}
	}
	w.floor = floor
	w.settle()
}

// settle moves the floor over the numbers that stand directly on it.
func (w *window) settle() {
	for {
		word, bit := bitOf(w.floor)
		if w.bits[word]&bit == 0 {
			return
		}
		w.bits[word] &^= bit
		w.floor++
	}
}

// windows are those of a sensor's boots, ascending.
type windows []window

// take reports whether the batch is new. A boot older than all that are remembered is always new: to store it twice
// makes the same points, to skip it could lose it.
func (w *windows) take(boot, seq, floor uint64) bool {
	i, found := w.find(boot)
	if !found {
		if len(*w) == maxBoots {
			if i == 0 {
				return true
			}
			*w = slices.Delete(*w, 0, 1)
			i--
		}
		*w = slices.Insert(*w, i, window{boot: boot})
	}
	return (*w)[i].take(seq, floor)
}

// find gives the place of a boot.
func (w *windows) find(boot uint64) (at int, found bool) {
	return slices.BinarySearchFunc(*w, boot, func(x window, boot uint64) int { return cmp.Compare(x.boot, boot) })
}
