package ingest

import (
	"sync"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// sensor is what is known of one configured sensor. Several processors may hold datagrams of it at once. It takes below
// 10 KiB, whatever the sensor sends: two windows for each of its newest boots, and counters.
type sensor struct {
	id string

	mu      sync.Mutex // guards the fields below
	boots   seal.Boots
	seqs    seqs
	replies replies

	outcomes         [Reasons]uint64
	octets           uint64
	accepted         flow.Volume
	queueFull, unfit flow.Volume
	durable, lost    flow.Volume
	lastSeen         time.Time
	offset           time.Duration
	keyIndex         int
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

// sequence judges the tx of a datagram, and remembers it. The datagram with the highest one says where answers go.
func (s *sensor) sequence(h *wire.Header, from *sender) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason := txReasons[s.boots.Accept(h.Boot, h.TX)]
	if boot, highest, _ := s.boots.Newest(); reason == ReasonAccepted && h.Boot == boot && h.TX == highest {
		s.replies.follow(h, from)
	}
	return reason
}

// claim reports whether a batch is to be handed over: ReasonAccepted unless it was before. One that is durable is
// acknowledged again, which wants an answer.
func (s *sensor) claim(b *flow.Batch) (reason Reason, answer bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.seqs.claim(b.Boot, b.Seq, b.Floor) {
	case claimNew:
		return ReasonAccepted, false
	case claimDurable:
		answer = s.tell(b.Boot)
	case claimPending:
	}
	return ReasonDuplicate, answer
}

// tell marks what is durable of a boot to be told, and reports whether the sensor is to be put on the answerer's list.
func (s *sensor) tell(boot uint64) bool {
	w := s.seqs.known(boot)
	if w == nil {
		return false
	}
	w.dirty = true
	return s.replies.enlist()
}

// settle takes what became of a batch, and reports whether the sensor is to be put on the answerer's list.
func (s *sensor) settle(b *flow.Batch, r Result, v flow.Volume) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == Durable {
		s.durable.Add(v)
	} else {
		s.lost.Add(v)
	}
	w := s.seqs.known(b.Boot)
	return w != nil && w.settle(b.Seq, r) && s.tell(b.Boot)
}

// release takes back the claim on a batch that the sink refused.
func (s *sensor) release(boot, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.seqs.known(boot); w != nil {
		w.settle(seq, Lost)
	}
}

// count notes how a datagram ended, and what the batch held that it brought as far as the sink.
func (s *sensor) count(reason Reason, v flow.Volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[reason]++
	if reason == ReasonAccepted {
		s.accepted.Add(v)
	}
	if reason == ReasonQueueFull {
		s.queueFull.Add(v)
	}
	if reason == ReasonUnfit {
		s.unfit.Add(v)
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
		Unfit:     s.unfit,
		Durable:   s.durable,
		Lost:      s.lost,
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
