package attribute

import (
	"slices"
	"sync/atomic"

	"flowsensor/internal/flow"
)

// Stage attributes batches and counts. One goroutine calls Attribute; Stats is safe for any.
type Stage struct {
	rules *Rules

	evidence                                     [flow.Evidences]atomic.Uint64
	droppedRecords, droppedPackets, droppedBytes atomic.Uint64
}

// Stats is what a Stage has seen, a batch that came again counted again.
type Stats struct {
	// Evidence counts records by what their roles rest on.
	Evidence [flow.Evidences]uint64
	// Dropped is what rules discarded: it is in Evidence too.
	Dropped Volume
}

// Volume is what records hold.
type Volume struct {
	Records, Packets, Bytes uint64
}

// NewStage makes a Stage that goes by the rules.
func NewStage(rules *Rules) *Stage { return &Stage{rules: rules} }

// Attribute appends what is made of each of the records to dst.
func (s *Stage) Attribute(dst []flow.Attribution, records []flow.Record) []flow.Attribution {
	var seen Stats
	n := len(dst)
	dst = slices.Grow(dst, len(records))[:n+len(records)]
	for i := range records {
		a := &dst[n+i]
		s.rules.Attribute(&records[i], a)
		seen.Evidence[a.Evidence]++
		if a.Drop {
			seen.Dropped.Records++
			seen.Dropped.Packets += records[i].Packets
			seen.Dropped.Bytes += records[i].Bytes
		}
	}
	s.add(&seen)
	return dst
}

func (s *Stage) add(seen *Stats) {
	for i, n := range seen.Evidence {
		if n > 0 {
			s.evidence[i].Add(n)
		}
	}
	if seen.Dropped.Records > 0 {
		s.droppedRecords.Add(seen.Dropped.Records)
		s.droppedPackets.Add(seen.Dropped.Packets)
		s.droppedBytes.Add(seen.Dropped.Bytes)
	}
}

// Stats gives a copy of the counts.
func (s *Stage) Stats() Stats {
	st := Stats{Dropped: Volume{
		Records: s.droppedRecords.Load(), Packets: s.droppedPackets.Load(), Bytes: s.droppedBytes.Load(),
	}}
	for i := range s.evidence {
		st.Evidence[i] = s.evidence[i].Load()
	}
	return st
}
