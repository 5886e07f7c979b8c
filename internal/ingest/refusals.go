package ingest

import "time"

// logRefusal logs a datagram that was not taken: one line a reason and period, which tells how many it stands for. The
// address in it is that of the one datagram, and before authentication anybody's word.
func (p *processor) logRefusal(a *arrival, o *outcome, now time.Time) {
	suppressed, ok := p.throttle.allow(o.reason, now, p.total)
	if !ok {
		return
	}
	log := p.log.With("reason", o.reason.String(), "suppressed", suppressed, "from", a.from)
	if o.sensor != nil {
		log = log.With("sensor", o.sensor.id)
	}
	if o.err != nil {
		log = log.With("error", o.err)
	}
	if o.reason == ReasonClockOld || o.reason == ReasonClockAhead {
		log = log.With("clock_offset", o.opened.Offset)
	}
	if o.reason == ReasonReplayed || o.reason == ReasonDuplicate {
		log.Debug("datagram refused") // the network may send one twice
		return
	}
	log.Warn("datagram refused")
}

// logTwin says that two machines send as one sensor. The older one is never answered, its spool fills, and points of the
// two may have the same time.
func (p *processor) logTwin(a *arrival, o *outcome, now time.Time) {
	if o.sensor.tellTwin(now, p.cfg.LogPeriod) {
		p.log.Error("two machines send as one sensor: give each an id and a key of its own", "sensor", o.sensor.id, "from", a.from)
	}
}
