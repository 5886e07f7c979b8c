package export

import "time"

// stamper gives each batch its base stamp: nanoseconds of the clock, but never one that was given before, so that the
// point time base+i of every record is the sensor's own for ever (a point with equal tags and time would overwrite
// another). It belongs to the sender's goroutine.
type stamper struct {
	clock func() time.Time
	next  int64      // the lowest stamp not given yet
	state *stateFile // nil: in memory alone
	last  state      // of the life before this one
}

// take gives the first of count stamps, and how far it runs ahead of the clock.
func (s *stamper) take(count int) (base int64, lead time.Duration) {
	now := s.clock().UnixNano()
	base = max(now, s.next)
	s.next = base + int64(count)
	if s.state != nil {
		s.state.cover(now, s.next)
	}
	return base, time.Duration(base - now)
}

func (s *stamper) fails() uint64 {
	if s.state == nil {
		return 0
	}
	return s.state.fails.Load()
}

// close stores the exact mark, so that the next start need not skip what was only reserved.
func (s *stamper) close() error {
	if s.state == nil {
		return nil
	}
	return s.state.close(s.next)
}
