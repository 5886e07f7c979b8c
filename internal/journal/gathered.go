package journal

import (
	"context"
	"time"
)

// commitWindows is commit where batches are gathered: window by window the edge is made known, then its rows are stored,
// and after a full one everything up to it is taken out of the journal.
func (s *session) commitWindows(ctx context.Context) {
	for {
		select {
		case c := <-s.windows.closed:
			if err := s.commitWindow(ctx, c); err != nil {
				s.fail(err)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *session) commitWindow(ctx context.Context, c closed) error {
	if !c.known {
		s.stored.edges = append(s.stored.edges, c.edge)
		s.stored.number, s.stored.other, s.stored.config = c.number, c.other, c.config
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	if err := c.store(ctx); err != nil {
		return err
	}
	s.counters.windows.Add(1)
	if c.kind != Full {
		return nil
	}
	head, err := s.settledUpTo(ctx, c.position)
	if err != nil {
		return err
	}
	s.note(head)
	s.stored.position, s.stored.edges = c.position, s.stored.edges[:0]
	if err := s.save(ctx); err != nil {
		return err
	}
	s.acknowledge(head)
	return nil
}

// settledUpTo waits until the batches of all messages up to that position are stored, and gives these messages.
func (s *session) settledUpTo(ctx context.Context, position uint64) ([]*flight, error) {
	for {
		if head, settled := s.upTo(position); settled {
			return head, nil
		}
		select {
		case <-s.progress:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *session) upTo(position uint64) (head []*flight, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.queue) && s.queue[n].position <= position {
		if s.queue[n].pending > 0 {
			return nil, false
		}
		n++
	}
	return s.queue[:n:n], true
}

// keep asks for patience with what is not acknowledged.
func (s *session) keep(ctx context.Context) {
	ticker := time.NewTicker(s.ackWait() / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.prolong()
		case <-ctx.Done():
			return
		}
	}
}

// ackWait exceeds what is gathered before it is acknowledged: the windows of a full one, and those of the next.
func (s *session) ackWait() time.Duration {
	if s.windows == nil {
		return s.j.cfg.AckWait
	}
	return s.j.cfg.AckWait + 2*s.j.cfg.Window*time.Duration(max(s.j.cfg.Windows, 1))
}
