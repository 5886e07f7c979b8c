package export

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"flowsensor/internal/wire"
)

// heed takes an answer, all of it or nothing.
func (o *outbox) heed(a *wire.Answer, now time.Time) {
	if reason, ok := o.believe(a); !ok {
		o.counters.answersRefused[reason].Add(1)
		return
	}
	o.counters.answers.Add(1)
	if a.Time != 0 {
		o.heedProbe(a, now)
		return
	}
	back := now.Sub(o.heardAt) > 2*o.cfg.ResendAfter
	o.heardAt, o.quiet = now, time.Time{}
	acked := o.acknowledge(a, now)
	if acked && back {
		o.hurry(now)
	}
	for i := range a.Refusals {
		o.refused(&a.Refusals[i], now)
	}
	if len(o.resends) > 0 {
		o.quiet = now
	}
}

// believe reports whether an answer can be one to us: it names this life, and nothing that was never sent.
func (o *outbox) believe(a *wire.Answer) (AnswerReason, bool) {
	if a.Boot != o.header.Boot {
		return AnswerBoot, false
	}
	if a.Time != 0 {
		return AnswerStale, o.probe.out && a.TX == o.probe.nonce
	}
	if a.TX > o.header.TX {
		return AnswerUnsent, false
	}
	for _, r := range a.Refusals {
		if r.TX > o.header.TX {
			return AnswerUnsent, false
		}
	}
	if !a.HasAcks || a.Acks.Boot != o.current.boot {
		return 0, true // of earlier lives we know only what was spooled
	}
	if a.Acks.Highest() >= o.current.next {
		return AnswerUnsent, false
	}
	sent := true
	o.each(&a.Acks, o.current, func(p *parcel) { sent = sent && !p.first.IsZero() })
	return AnswerUnsent, sent
}

// each calls f with the batches in flight that are named.
func (o *outbox) each(acks *wire.Acks, l *life, f func(*parcel)) {
	for seq := l.floor(); seq <= acks.Upto && seq < l.next; seq++ {
		if p := l.flight[seq]; p != nil {
			f(p)
		}
	}
	acks.Each(func(seq uint64) {
		if p := l.flight[seq]; p != nil {
			f(p)
		}
	})
}

// acknowledge forgets what is durable, and reports whether there was any.
func (o *outbox) acknowledge(a *wire.Answer, now time.Time) (some bool) {
	l := o.lives[a.Acks.Boot]
	if !a.HasAcks || l == nil {
		return false
	}
	var newest time.Time
	o.each(&a.Acks, l, func(p *parcel) {
		if p.gone {
			return
		}
		if p.last.After(newest) {
			newest = p.last
		}
		o.counters.acked.add(p.sum)
		o.forget(p)
		o.pace.faster()
		some = true
	})
	if some {
		o.fullFor = 0
		o.overtaken(newest.Add(-o.cfg.ResendAfter/4), now)
	}
	return some
}

// overtaken has sent again what went out before a time, when all that went out well after it has been acknowledged: it
// was lost, most likely, and there is no need to wait for its pause to end.
func (o *outbox) overtaken(before, now time.Time) {
	for _, p := range o.resends {
		if p.last.Before(before) && p.due.After(now) {
			p.due = now
		}
	}
	heap.Init(&o.resends)
}

// permanent gives the reasons of the ledger for the refusals that no resend can mend.
var permanent = map[wire.RefusalReason]Reason{
	wire.RefusedParse: RefusedParse, wire.RefusedValidate: RefusedValidate, wire.RefusedVersion: RefusedVersion,
}

// refused takes a refusal of a batch that is still in flight; others are of the past.
func (o *outbox) refused(r *wire.Refusal, now time.Time) {
	p := o.txs[r.TX]
	if p == nil {
		return
	}
	if reason, ok := permanent[r.Reason]; ok {
		o.log.Error("the collector refuses a batch for good, it is dropped", "reason", r.Reason, "records", p.sum.Records)
		o.drop(p, reason)
		return
	}
	if r.TX <= o.told {
		return // told again: it held us already
	}
	o.told = r.TX
	o.pace.slower(now)
	if r.Reason == wire.RefusedClock {
		o.skew(r.Offset, now)
		return
	}
	o.counters.full.Add(1)
	if o.fullFor == 0 {
		o.log.Warn("the collector has no room, batches are kept and sending is held back")
	}
	o.fullFor = min(max(2*o.fullFor, troublePause), o.cfg.ResendMost)
	o.hold = now.Add(o.fullFor + rand.N(o.fullFor/4+1))
}
