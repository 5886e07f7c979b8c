package ingest

import (
	"time"

	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// answer tells the sender of a datagram how it ended, as far as that is told at all: acknowledgements and most refusals
// go on the answerer's list. A refused clock and a probe are answered at once, at the place they came from.
func (p *processor) answer(o *outcome, from *sender, now time.Time) {
	if refusal, told := refusals[o.reason]; told {
		p.refuse(o, refusal)
		return
	}
	switch {
	case o.reason == ReasonClockOld || o.reason == ReasonClockAhead:
		p.answerClock(o, from, now)
	case o.reason == ReasonAccepted && o.header.Kind == wire.Probe:
		p.answerProbe(o, from, now)
	}
}

// refusals are what a sensor is told of its batches that were not taken.
var refusals = map[Reason]wire.RefusalReason{
	ReasonParse: wire.RefusedParse, ReasonValidate: wire.RefusedValidate, ReasonVersion: wire.RefusedVersion,
	ReasonQueueFull: wire.RefusedFull, ReasonUnfit: wire.RefusedValidate,
}

// refuse has the sensor told that a batch was not taken.
func (p *processor) refuse(o *outcome, reason wire.RefusalReason) {
	if _, batch := o.header.Kind.Content(); batch && o.sensor.refuse(reason, &o.header) {
		p.answers.add(o.sensor)
	}
}

// refuse reports whether the sensor is to be put on the answerer's list.
func (s *sensor) refuse(reason wire.RefusalReason, h *wire.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.Boot != s.replies.boot {
		return false // of an older process than the one that is answered
	}
	s.replies.refuse(reason, h.TX)
	return s.replies.enlist()
}

func (p *processor) answerClock(o *outcome, from *sender, now time.Time) {
	if !o.wellFormed || !o.sensor.may(func(r *replies) bool { return r.mayTellClock(&o.header, now) }) {
		return
	}
	p.answers.send(o.sensor.id, from, &wire.Answer{
		Boot: o.header.Boot, TX: o.header.TX, Collector: p.cfg.ID,
		Refusals: []wire.Refusal{{Reason: wire.RefusedClock, TX: o.header.TX, Offset: o.opened.Offset}},
	})
}

func (p *processor) answerProbe(o *outcome, from *sender, now time.Time) {
	if !o.sensor.may(func(r *replies) bool { return r.mayTellTime(now) }) {
		return
	}
	a := &wire.Answer{Boot: o.header.Boot, TX: o.header.TX, Collector: p.cfg.ID, Time: max(now.UnixNano(), 1)}
	if o.skewed {
		a.Refusals = []wire.Refusal{{Reason: wire.RefusedClock, TX: o.header.TX, Offset: o.opened.Offset}}
	}
	p.answers.send(o.sensor.id, from, a)
}

func (s *sensor) may(ask func(*replies) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ask(&s.replies)
}

// flush gives to send, one after the other, the answers that are due, and reports whether the sensor must be looked at
// again. The answer is only good until send returns.
func (s *sensor) flush(collector string, now time.Time, send func(*sender, *wire.Answer)) (again bool) {
	s.mu.Lock()
	to, base := s.replies.to, wire.Answer{Boot: s.replies.boot, TX: s.replies.tx, Collector: collector}
	refusals := s.replies.due(nil, now)
	var answers []wire.Answer
	for i := range s.seqs.windows {
		if w := &s.seqs.windows[i]; w.dirty {
			w.dirty = false
			a := base
			a.HasAcks, a.Acks = true, w.acks(nil)
			answers = append(answers, a)
		}
	}
	s.replies.listed = s.replies.pending > 0
	again = s.replies.listed
	s.mu.Unlock()

	if len(refusals) > 0 && len(answers) == 0 {
		answers = append(answers, base)
	}
	for i := range answers {
		if i == 0 {
			answers[i].Refusals = refusals
		}
		send(&to, &answers[i])
	}
	return again
}

// encode makes the datagram of an answer, nil when it cannot be made as short as what it answers. What does not fit is
// left out, the least needed first: the bitmap's end, the collector's name, the refusals but one.
func encode(id string, h wire.Header, to *sender, a *wire.Answer, now time.Time) []byte {
	sealer, err := seal.NewSealer(id, to.key)
	if err != nil {
		return nil
	}
	head := wire.AppendHeader(make([]byte, 0, to.length), h)
	limit := seal.MaxPlaintext(to.length, len(id)) - len(head)
	plain, ok := wire.AppendAnswer(head, a, limit)
	if !ok {
		a.Collector = ""
		plain, ok = wire.AppendAnswer(head, a, limit)
	}
	for !ok && len(a.Refusals) > 1 {
		a.Refusals = a.Refusals[:len(a.Refusals)/2]
		plain, ok = wire.AppendAnswer(head, a, limit)
	}
	if !ok {
		return nil
	}
	datagram, err := sealer.Seal(nil, plain, now)
	if err != nil {
		return nil
	}
	return datagram
}
