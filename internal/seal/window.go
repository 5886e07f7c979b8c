package seal

import "fmt"

// Verdict is what a replay window says of a number. It indexes counter arrays of length Verdicts.
type Verdict uint8

// The verdicts.
const (
	VerdictNew         Verdict = iota // not seen before: now it is
	VerdictReplayed                   // seen before
	VerdictTooOld                     // below the window: seen or not, nobody knows
	VerdictUnknownBoot                // Boots only: neither a known boot nor newer than the newest
	// Verdicts is how many there are.
	Verdicts = int(iota)
)

var verdictNames = [Verdicts]string{"new", "replayed", "too_old", "unknown_boot"}

func (v Verdict) String() string {
	if int(v) < Verdicts {
		return verdictNames[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// WindowBits is the width of the replay window: a number that far below the highest or further is too old.
const WindowBits = 2048

// WindowStats counts what a Window, or all of a Boots, has judged.
type WindowStats struct {
	Accepted    uint64 // VerdictNew
	Replayed    uint64
	TooOld      uint64
	UnknownBoot uint64
	// Missing is how many numbers between the lowest and the highest accepted one were not accepted: the gaps that stand
	// now. A number that comes late closes its gap again, so it falls as well as rises, never below zero. What was sent
	// before the first accepted number is not in it.
	Missing uint64
}

const (
	wordBits = 64
	// windowWords has a word more than the window needs (RFC 6479 section 3): the word that the highest number stands in
	// is shared with no number that is still inside the window.
	windowWords = WindowBits/wordBits + 1
)

// Window is a replay window in the manner of RFC 6479 over the tx numbers of one boot. Numbers may begin anywhere. The
// zero value is ready to use; not safe for concurrent use. Feed it authenticated numbers only.
type Window struct {
	lowest, highest uint64 // of the accepted numbers, when there are any
	accepted        uint64
	replayed        uint64
	tooOld          uint64
	seen            [windowWords]uint64 // number n is bit n%64 of word n/64%windowWords
}

// Accept judges tx and remembers it.
func (w *Window) Accept(tx uint64) Verdict {
	switch {
	case w.accepted == 0:
		w.lowest, w.highest = tx, tx
	case tx > w.highest:
		w.advance(tx)
	case w.highest-tx >= WindowBits:
		w.tooOld++
		return VerdictTooOld
	}
	word, bit := &w.seen[tx/wordBits%windowWords], uint64(1)<<(tx%wordBits)
	if *word&bit != 0 {
		w.replayed++
		return VerdictReplayed
	}
	*word |= bit
	w.lowest = min(w.lowest, tx)
	w.accepted++
	return VerdictNew
}

// advance moves the window up to tx, clearing the words it moves into.
func (w *Window) advance(tx uint64) {
	from, to := w.highest/wordBits, tx/wordBits
	if to-from >= windowWords {
		clear(w.seen[:])
	} else {
		for word := from + 1; word <= to; word++ {
			w.seen[word%windowWords] = 0
		}
	}
	w.highest = tx
}

// Highest is the highest accepted number, 0 before the first.
func (w *Window) Highest() uint64 { return w.highest }

// Stats gives the counts so far.
func (w *Window) Stats() WindowStats {
	s := WindowStats{Accepted: w.accepted, Replayed: w.replayed, TooOld: w.tooOld}
	if w.accepted > 0 {
		// Each accepted number was new, so there are no more of them than the span holds. The two ends of the range of
		// uint64 wrap the span to 0, and the difference is right all the same.
		s.Missing = w.highest - w.lowest + 1 - w.accepted
	}
	return s
}
