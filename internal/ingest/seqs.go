package ingest

import "flowsensor/internal/seal"

// seqWindowBits is how far back a sequence number is remembered: twice the most batches that a sensor may have
// unacknowledged.
const seqWindowBits = 2048

// claim is what a window says of a sequence number.
type claim uint8

const (
	_              claim = iota
	claimNew             // not taken before: now it is
	claimSeen            // taken before, or so far back that an honest sensor has given it up
	claimForgotten       // the boot is no longer remembered
)

// seqs remembers which batches of a sensor's newest boots were taken, so that one sent again under a new tx is not
// handed on twice. Unlike a replay window it can take back: a batch that the next stage refused must be welcome again.
// The zero value is ready to use; not safe for concurrent use.
type seqs struct {
	boots [seal.MaxBoots]seqWindow
}

// claim takes seq within boot. The caller has had the boot judged by the replay window before.
func (s *seqs) claim(boot, seq uint64) claim {
	w := &s.boots[0] // of the oldest boot, once the loop is through
	for i := range s.boots {
		if s.boots[i].boot == boot && s.boots[i].used {
			return s.boots[i].claim(seq)
		}
		if s.boots[i].older(w) {
			w = &s.boots[i]
		}
	}
	if w.used && boot < w.boot {
		return claimForgotten // newer boots pushed it out since the replay window knew it
	}
	*w = seqWindow{boot: boot, used: true}
	return w.claim(seq)
}

// release takes the claim back.
func (s *seqs) release(boot, seq uint64) {
	for i := range s.boots {
		if s.boots[i].boot == boot && s.boots[i].used {
			s.boots[i].release(seq)
		}
	}
}

// seqWindow holds one bit for each of the newest seqWindowBits sequence numbers of a boot.
type seqWindow struct {
	boot    uint64
	highest uint64 // valid where any is true
	used    bool   // the window belongs to a boot
	any     bool
	bits    [seqWindowBits / 64]uint64
}

// older orders windows by age; one that no boot uses is the oldest.
func (w *seqWindow) older(o *seqWindow) bool {
	if w.used != o.used {
		return o.used
	}
	return w.boot < o.boot
}

func (w *seqWindow) claim(seq uint64) claim {
	switch {
	case !w.any:
		w.any, w.highest = true, seq
	case seq > w.highest:
		w.advance(seq)
	case w.highest-seq >= seqWindowBits:
		return claimSeen
	}
	word, bit := position(seq)
	if w.bits[word]&bit != 0 {
		return claimSeen
	}
	w.bits[word] |= bit
	return claimNew
}

// advance makes seq the highest and clears the bits of the numbers that come into the window with it.
func (w *seqWindow) advance(seq uint64) {
	if seq-w.highest >= seqWindowBits {
		clear(w.bits[:])
	} else {
		for n := w.highest + 1; n != seq+1; n++ {
			word, bit := position(n)
			w.bits[word] &^= bit
		}
	}
	w.highest = seq
}

func (w *seqWindow) release(seq uint64) {
	if seq <= w.highest && w.highest-seq < seqWindowBits {
		word, bit := position(seq)
		w.bits[word] &^= bit
	}
}

func position(seq uint64) (word int, bit uint64) {
	return int(seq / 64 % (seqWindowBits / 64)), 1 << (seq % 64)
}
