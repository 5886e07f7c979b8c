package ingest

import (
	"sync"
	"time"

	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// sensor is what is known of one configured sensor. Several processors may hold datagrams of it at once. It takes below
// 10 KiB, whatever the sensor sends: two windows for each of its newest boots, and counters.
type sensor struct {
	id string

	mu    sync.Mutex // guards the fields below
	boots seal.Boots
	seqs  seqs

	outcomes            [Reasons]uint64
	octets              uint64
	accepted, queueFull Volume
	lastSeen            time.Time
	offset              time.Duration
	keyIndex            int
}

// hear notes an authentic datagram of n octets.
func (s *sensor) hear(o *seal.Opened, received time.Time, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.octets += uint64(n)
	s.offset = o.Offset
	s.keyIndex = o.KeyIndex
	if received.After(s.lastSeen) {
		s.lastSeen = received
	}
}

// sequence judges the tx of a datagram, and remembers it.
func (s *sensor) sequence(h *wire.Header) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return txReasons[s.boots.Accept(h.Boot, h.TX)]
}

// claim reports whether a batch is to be handed over: ReasonAccepted unless it was before.
func (s *sensor) claim(boot, seq uint64) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.seqs.claim(boot, seq) {
	case claimNew:
		return ReasonAccepted
	case claimForgotten:
		return ReasonBootOld
	case claimSeen:
	}
	return ReasonDuplicate
}

// release takes back the claim on a batch that the sink refused.
func (s *sensor) release(boot, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seqs.release(boot, seq)
}

// count notes how a datagram ended, and what the batch held that it brought as far as the sink.
func (s *sensor) count(reason Reason, v Volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[reason]++
	if reason == ReasonAccepted {
		s.accepted.add(v)
	}
	if reason == ReasonQueueFull {
		s.queueFull.add(v)
	}
}

func (s *sensor) stats() SensorStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	boot, _, _ := s.boots.Newest()
	st := SensorStats{
		ID:        s.id,
		Outcomes:  s.outcomes,
		Octets:    s.octets,
		Accepted:  s.accepted,
		QueueFull: s.queueFull,
		Missing:   s.boots.Stats().Missing,
		LastSeen:  s.lastSeen,
		Offset:    s.offset,
		KeyIndex:  s.keyIndex,
		Boot:      boot,
	}
	for _, n := range s.outcomes {
		st.Datagrams += n
	}
	return st
}
