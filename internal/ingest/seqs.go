package ingest

import (
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// seqWindowBits is how far above the settled ones a sequence number may lie: what the parser lets through.
const seqWindowBits = wire.MaxOutstanding

// claim is what a window says of a sequence number.
type claim uint8

const (
	_            claim = iota
	claimNew           // not taken before: now it is
	claimPending       // taken before, and not settled yet
	claimDurable       // settled before, or given up by the sensor
)

// seqs remembers which batches of a sensor's boots were taken and which of them are durable, so that one sent again under
// a new tx is not handed on twice, and answers can tell. Unlike a replay window it can take back: a batch that was lost
// further on must be welcome again. It has room for a few boots and forgets the one that was not heard for longest: a
// batch may then be handed on a second time, which the next stages must bear anyway. The zero value is ready to use; not
// safe for concurrent use.
type seqs struct {
	windows [seal.MaxBoots]seqWindow
	uses    uint64
}

// claim takes seq, of a boot whose lowest number that may still come is floor.
func (s *seqs) claim(boot, seq, floor uint64) claim {
	w := s.known(boot)
	if w == nil {
		w = &s.windows[0]
		for i := range s.windows {
			if s.windows[i].used < w.used {
				w = &s.windows[i]
			}
		}
		*w = seqWindow{boot: boot}
	}
	s.uses++
	w.used = s.uses
	return w.claim(seq, floor)
}

// known gives the window of a boot, nil where there is none.
func (s *seqs) known(boot uint64) *seqWindow {
	for i := range s.windows {
		if s.windows[i].boot == boot && s.windows[i].used > 0 {
			return &s.windows[i]
		}
	}
	return nil
}

// seqWindow holds the batches of a boot above those that are all settled.
type seqWindow struct {
	boot    uint64
	used    uint64 // when, in claims of the sensor; 0: by no boot
	upto    uint64 // every number up to it is durable or given up; they begin at 1
	highest uint64 // durable number
	dirty   bool   // there is something to tell
	// Of the numbers above upto, each at its own modulo seqWindowBits.
	taken, durable [seqWindowBits / 64]uint64
}

func (w *seqWindow) claim(seq, floor uint64) claim {
	w.giveUp(floor)
	word, bit := position(seq)
	switch {
	case seq <= w.upto:
		return claimDurable
	case w.durable[word]&bit != 0:
		return claimDurable
	case w.taken[word]&bit != 0:
		return claimPending
	}
	w.taken[word] |= bit
	return claimNew
}

// settle says what became of a number that was taken, and reports whether it is durable now and was not before.
func (w *seqWindow) settle(seq uint64, r Result) bool {
	if seq <= w.upto || seq-w.upto > seqWindowBits {
		return false
	}
	word, bit := position(seq)
	if w.taken[word]&bit == 0 || w.durable[word]&bit != 0 {
		return false
	}
	if r != Durable {
		w.taken[word] &^= bit
		return false
	}
	w.durable[word] |= bit
	w.highest = max(w.highest, seq)
	w.slide()
	return true
}

// giveUp settles what is below floor: it will not come again.
func (w *seqWindow) giveUp(floor uint64) {
	if floor <= w.upto+1 {
		return
	}
	if floor-1-w.upto >= seqWindowBits {
		clear(w.taken[:])
		clear(w.durable[:])
		w.upto = floor - 1
	}
	for w.upto < floor-1 {
		w.pass()
	}
	w.slide()
}

// slide goes on over what is durable.
func (w *seqWindow) slide() {
	for {
		word, bit := position(w.upto + 1)
		if w.durable[word]&bit == 0 {
			return
		}
		w.pass()
	}
}

func (w *seqWindow) pass() {
	w.upto++
	word, bit := position(w.upto)
	w.taken[word] &^= bit
	w.durable[word] &^= bit
}

// acks is what an answer says of the window. The bitmap is appended to dst.
func (w *seqWindow) acks(dst []byte) wire.Acks {
	begin := len(dst)
	for n := w.upto + 1; n <= w.highest; n++ {
		i := n - w.upto - 1
		if i%8 == 0 {
			dst = append(dst, 0)
		}
		if word, bit := position(n); w.durable[word]&bit != 0 {
			dst[begin+int(i/8)] |= 1 << (i % 8)
		}
	}
	return wire.Acks{Boot: w.boot, Upto: w.upto, Bits: dst[begin:]}
}

func position(seq uint64) (word int, bit uint64) {
	return int(seq / 64 % (seqWindowBits / 64)), 1 << (seq % 64)
}
