package flowtable

import (
	"sync/atomic"

	"flowsensor/internal/flow"
)

const reasons = int(flow.EndEOF) + 1

// Stats is what a table has done since New. Packets and Bytes are what was accounted; apart from a batch under way, what
// was emitted falls short of it by what Flows still hold.
type Stats struct {
	Flows         uint64 // held now
	Created       uint64
	Packets       uint64
	Bytes         uint64
	Records       uint64 // emitted; the sum of Emitted
	RecordPackets uint64 // in the records emitted
	RecordBytes   uint64
	Evictions     uint64          // flows that had to make room
	NegativeSpans uint64          // packets whose time was before that of their flow's last packet
	LongestProbe  uint64          // buckets looked into for the least lucky flow
	Emitted       [reasons]uint64 // records by flow.EndReason
}

// Places of the counters.
const (
	flows = iota
	created
	packets
	bytes
	records
	recordPackets
	recordBytes
	evictions
	negativeSpans
	longestProbe
	emitted
	counters = emitted + reasons
)

// published is the copy of the counters that other goroutines see.
type published [counters]atomic.Uint64

// publish shows others the counters that changed.
func (t *Table) publish() {
	t.counts[flows] = uint64(t.live)
	for i, v := range t.counts {
		if p := &t.published[i]; p.Load() != v {
			p.Store(v)
		}
	}
}

// Stats gives the figures as of the last call's end. It may be called from any goroutine, also after Close.
func (t *Table) Stats() Stats {
	at := func(i int) uint64 { return t.published[i].Load() }
	s := Stats{
		Flows: at(flows), Created: at(created), Packets: at(packets), Bytes: at(bytes),
		Records: at(records), RecordPackets: at(recordPackets), RecordBytes: at(recordBytes),
		Evictions: at(evictions), NegativeSpans: at(negativeSpans), LongestProbe: at(longestProbe),
	}
	for i := range s.Emitted {
		s.Emitted[i] = at(emitted + i)
	}
	return s
}
