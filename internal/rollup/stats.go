package rollup

import "sync/atomic"

// Stats counts since the Shard was made. What a window brought is counted when it is added, so windows that come again
// after an interruption are counted again.
type Stats struct {
	// Records, Packets and Bytes went into the measurements.
	Records, Packets, Bytes uint64
	// Discarded is the records that a rule discards: they are in no measurement.
	Discarded uint64
	// Invalid is the records that flow.Record.Validate refuses: they are in no measurement either.
	Invalid uint64
	// Unusual is records by Reason.
	Unusual [reasons]uint64
	// Uncounted is the client ports that found no room to be told apart.
	Uncounted    uint64
	Measurements [measurements]MeasurementStats
}

// MeasurementStats is one Measurement's.
type MeasurementStats struct {
	Keys     uint64 // admitted, each interval of each window counted
	Overflow uint64 // parts of records that went to other because the window was full
	Rows     uint64 // made
}

// Add sums, for several Shards.
func (s *Stats) Add(o Stats) {
	s.Records += o.Records
	s.Packets += o.Packets
	s.Bytes += o.Bytes
	s.Discarded += o.Discarded
	s.Invalid += o.Invalid
	s.Uncounted += o.Uncounted
	for i, n := range o.Unusual {
		s.Unusual[i] += n
	}
	for i, m := range o.Measurements {
		s.Measurements[i].Keys += m.Keys
		s.Measurements[i].Overflow += m.Overflow
		s.Measurements[i].Rows += m.Rows
	}
}

// counters are what Stats shows. They are stored once a batch.
type counters struct {
	records, packets, bytes, discarded, invalid, uncounted atomic.Uint64
	unusual                                                [reasons]atomic.Uint64
	measurements                                           [measurements]measurementCounters
}

type measurementCounters struct {
	keys, overflow, rows atomic.Uint64
}

// add counts one batch, or what a window came to.
func (c *counters) add(s *Stats) {
	c.records.Add(s.Records)
	c.packets.Add(s.Packets)
	c.bytes.Add(s.Bytes)
	c.discarded.Add(s.Discarded)
	c.invalid.Add(s.Invalid)
	for i, n := range s.Unusual {
		if n > 0 {
			c.unusual[i].Add(n)
		}
	}
}

// gathered counts what a window's cells came to.
func (c *counters) gathered(m Measurement, keys int, overflow uint64) {
	c.measurements[m].keys.Add(uint64(keys))
	c.measurements[m].overflow.Add(overflow)
}

// Stats is a copy.
func (s *Shard) Stats() Stats {
	c := s.counters
	st := Stats{
		Records: c.records.Load(), Packets: c.packets.Load(), Bytes: c.bytes.Load(), Discarded: c.discarded.Load(),
		Invalid: c.invalid.Load(), Uncounted: c.uncounted.Load(),
	}
	for i := range st.Unusual {
		st.Unusual[i] = c.unusual[i].Load()
	}
	for i := range st.Measurements {
		m := &c.measurements[i]
		st.Measurements[i] = MeasurementStats{Keys: m.keys.Load(), Overflow: m.overflow.Load(), Rows: m.rows.Load()}
	}
	return st
}
