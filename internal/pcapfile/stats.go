package pcapfile

// Stats counts what Walk has visited, to the last refill of its buffer while it runs.
type Stats struct {
	Frames uint64
	Bytes  uint64 // captured octets, at most those on the wire
	// Clamped times lie before 1970 or beyond flow.MaxTime and became the nearest that a record can hold.
	Clamped uint64
	// Untimed frames are those of simple packet blocks, which have no time: they got the time of the frame before them.
	Untimed uint64
	// Overlong frames claim more captured octets than there were on the wire; the captured length was believed.
	Overlong uint64
}

// Add adds what another file had.
func (s *Stats) Add(o Stats) {
	s.Frames += o.Frames
	s.Bytes += o.Bytes
	s.Clamped += o.Clamped
	s.Untimed += o.Untimed
	s.Overlong += o.Overlong
}

// Stats may be called from any goroutine.
func (r *Reader) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

func (r *Reader) publish(s *Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats = *s
}
