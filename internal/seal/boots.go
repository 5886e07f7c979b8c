package seal

// MaxBoots is how many boots of a sensor are known at a time.
const MaxBoots = 8

// Boots holds the replay windows of one sensor, one for each of its newest MaxBoots boots. A boot that is not known must
// exceed every boot seen before, so an old one cannot be played back; known older boots keep their windows, for the
// batches that a restarted sensor still has from them. The zero value is ready to use; not safe for concurrent use. Feed
// it authenticated numbers only.
type Boots struct {
	known []boot      // ascending
	gone  WindowStats // of boots that are no longer known, and refusals that belong to none
}

type boot struct {
	id     uint64
	window Window
}

// Accept judges tx within boot and remembers both.
func (b *Boots) Accept(bootID, tx uint64) Verdict {
	for i := len(b.known) - 1; i >= 0; i-- {
		if b.known[i].id == bootID {
			return b.known[i].window.Accept(tx)
		}
	}
	if newest, _, ok := b.Newest(); ok && bootID < newest {
		b.gone.UnknownBoot++
		return VerdictUnknownBoot
	}
	if len(b.known) == MaxBoots {
		b.gone.add(b.known[0].window.Stats())
		b.known = append(b.known[:0], b.known[1:]...)
	}
	b.known = append(b.known, boot{id: bootID})
	return b.known[len(b.known)-1].window.Accept(tx)
}

// Newest is the newest boot seen and the highest tx accepted in it; false before the first.
func (b *Boots) Newest() (bootID, highest uint64, ok bool) {
	if len(b.known) == 0 {
		return 0, 0, false
	}
	newest := &b.known[len(b.known)-1]
	return newest.id, newest.window.Highest(), true
}

// Stats gives the sums over all boots so far, those no longer known included.
func (b *Boots) Stats() WindowStats {
	s := b.gone
	for i := range b.known {
		s.add(b.known[i].window.Stats())
	}
	return s
}

func (s *WindowStats) add(other WindowStats) {
	s.Accepted += other.Accepted
	s.Replayed += other.Replayed
	s.TooOld += other.TooOld
	s.UnknownBoot += other.UnknownBoot
	s.Missing += other.Missing
}
