package dnsmsg

import "sync/atomic"

// Stats is what a Decoder counted since it was made.
type Stats struct {
	// Messages by Reason; the entry of OK counts the answers. A segment of which no message could be read counts as one.
	Messages [reasonCount]uint64
	// Notes by Note.
	Notes [noteCount]uint64
}

// Plus adds up.
func (s Stats) Plus(t Stats) Stats {
	for i, n := range t.Messages {
		s.Messages[i] += n
	}
	for i, n := range t.Notes {
		s.Notes[i] += n
	}
	return s
}

type counters struct {
	messages [reasonCount]atomic.Uint64
	notes    [noteCount]atomic.Uint64
}

func (c *counters) note(n Note) { c.notes[n].Add(1) }

func (c *counters) count(r Reason) Reason {
	c.messages[r].Add(1)
	return r
}

// Stats may be called from any goroutine. Its figures are each exact, but not of one instant.
func (d *Decoder) Stats() Stats {
	var s Stats
	for i := range s.Messages {
		s.Messages[i] = d.counters.messages[i].Load()
	}
	for i := range s.Notes {
		s.Notes[i] = d.counters.notes[i].Load()
	}
	return s
}
