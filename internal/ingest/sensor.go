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
	replaced         time.Time                 // when the newest boot was heard first
	twins            uint64                    // datagrams of an older boot long after that
	twinTold         time.Time                 // when that was logged last
	skewed           struct{ boot, tx uint64 } // of the newest datagram since lastSeen that is refused for its clock
}

// hear notes an authentic datagram. Only one in time shows that the sensor lives and which key it has: an old one may be a
// recording that somebody plays, long after. For the same reason one that is refused for its clock tells what that shows only where it is newer than all before.
func (s *sensor) hear(a *arrival, o *outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.octets += uint64(len(a.payload))
	if o.skewed {
		if o.wellFormed && s.isNewsLocked(&o.header) {
			s.offset = o.opened.Offset
		}
		return
	}
	s.offset, s.keyIndex = o.opened.Offset, o.opened.KeyIndex
	s.skewed.boot, s.skewed.tx = 0, 0
	if a.received.After(s.lastSeen) {
		s.lastSeen = a.received
	}
}

// isNewsLocked reports whether a datagram that is refused for its clock was sent after all that were heard, and remembers it. A
// probe has no sequence: one counts that is of a process which was refused for its clock already, or was not heard yet.
func (s *sensor) isNewsLocked(h *wire.Header) bool {
	boot, tx, _ := s.boots.Newest()
	if h.Kind == wire.Probe {
		return h.Boot > max(boot, s.skewed.boot) || h.Boot == s.skewed.boot
	}
	if !newer(h, boot, tx) || !newer(h, s.skewed.boot, s.skewed.tx) {
		return false
	}
	s.skewed.boot, s.skewed.tx = h.Boot, h.TX
	return true
}

// sequence judges the tx of a datagram, and remembers it. The datagram with the highest one says where answers go. It says too
// whether another machine sends as this sensor.
func (s *sensor) sequence(h *wire.Header, received time.Time, from *sender) (reason Reason, twin bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest, _, known := s.boots.Newest()
	reason = txReasons[s.boots.Accept(h.Boot, h.TX)]
	if reason != ReasonAccepted {
		return reason, false
	}
	if boot, highest, _ := s.boots.Newest(); h.Boot == boot && h.TX == highest {
		s.replies.follow(h, from)
	}
	switch {
	case !known || h.Boot > newest:
		s.replaced = received
	case h.Boot < newest && received.Sub(s.replaced) > twinAfter:
		s.twins++
		twin = true
	}
	return reason, twin
}

// twinAfter is how long after a process of a sensor began one that is older cannot send any more, if both are of one machine: no
// datagram is on its way for so long.
const twinAfter = time.Minute

// tellTwin reports whether it is to be logged that two machines send as this sensor, which it is once a period.
func (s *sensor) tellTwin(now time.Time, period time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.twinTold) < period {
		return false
	}
	s.twinTold = now
	return true
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
		Twins:     s.twins,
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
