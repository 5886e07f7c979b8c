package packet

import "sync/atomic"

// Count is a number of frames and their octets on the wire, link headers included.
type Count struct {
	Frames, Octets uint64
}

// Stats is what a Decoder counted since it was made.
type Stats struct {
	// Refused by Reason; the entry of OK stays zero, since accounted packets are the caller's to count.
	Refused [reasonCount]Count
	// Notes by Note.
	Notes [noteCount]uint64
}

// RefusedTotal is the sum over all reasons.
func (s *Stats) RefusedTotal() Count {
	var sum Count
	for _, c := range s.Refused {
		sum.Frames += c.Frames
		sum.Octets += c.Octets
	}
	return sum
}

// counters stand off the path of plain packets, so that an atomic addition costs nobody much.
type counters struct {
	refused [reasonCount]struct{ frames, octets atomic.Uint64 }
	notes   [noteCount]atomic.Uint64
}

func (c *counters) note(n Note) { c.notes[n].Add(1) }

func (c *counters) refuse(r Reason, octets int) {
	c.refused[r].frames.Add(1)
	c.refused[r].octets.Add(uint64(octets))
}

// Stats may be called from any goroutine. Its figures are each exact, but not of one instant.
func (d *Decoder) Stats() Stats {
	var s Stats
	for r := range s.Refused {
		s.Refused[r] = Count{Frames: d.counters.refused[r].frames.Load(), Octets: d.counters.refused[r].octets.Load()}
	}
	for n := range s.Notes {
		s.Notes[n] = d.counters.notes[n].Load()
	}
	return s
}
