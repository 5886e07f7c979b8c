package export

import (
	"math/rand/v2"
	"time"

	"flowsensor/internal/wire"
)

// prober asks a collector that refused our clock for its time, until that agrees with ours, and one that is silent, where
// there are others, whether it is there: it may only be slow to make things durable.
type prober struct {
	skewed bool
	offset time.Duration // our clock minus the collector's, as it said last
	out    bool          // a probe is on its way
	nonce  uint64        // of that probe
	next   time.Time
	pause  time.Duration
}

// skew holds everything back: the collector says that our clock is off.
func (o *outbox) skew(offset time.Duration, now time.Time) {
	o.counters.clockOffset.Store(int64(offset))
	if !o.probe.skewed {
		o.log.Error("the collector refuses this sensor's clock: batches are kept until it is set right",
			"clock_offset", offset, "remote", o.link.Remote)
		o.probe = prober{skewed: true, next: now.Add(o.cfg.ResendAfter)}
	}
	o.probe.offset = offset
	o.hold = now.Add(probePause)
}

// ask sends a probe when one is due.
func (o *outbox) ask(now time.Time) {
	if o.probe.skewed {
		o.hold = now.Add(probePause)
	} else if !o.silentFor(o.cfg.FailoverAfter/2, now) {
		return
	}
	if now.Before(o.probe.next) {
		return
	}
	o.probe.out, o.probe.nonce = true, rand.Uint64()
	o.probe.pause = min(max(2*o.probe.pause, o.cfg.ResendAfter), probePause)
	o.probe.next = now.Add(o.probe.pause + rand.N(o.probe.pause/4+1))
	h := o.header
	h.Kind, h.TX = wire.Probe, o.probe.nonce
	plain := wire.AppendProbe(wire.AppendHeader(nil, h))
	datagram, err := o.sealer().Seal(nil, plain, o.clock())
	if err == nil {
		err = o.link.write(datagram)
	}
	if err != nil {
		o.counters.fail(err)
		return
	}
	o.counters.probes.Add(1)
}

// heedProbe takes the answer to a probe: with a refusal the clock is still off.
func (o *outbox) heedProbe(a *wire.Answer, now time.Time) {
	o.probe.out = false
	o.heardAt = now
	if !o.quiet.IsZero() {
		o.quiet = now
	}
	for _, r := range a.Refusals {
		if r.Reason == wire.RefusedClock {
			o.skew(r.Offset, now)
			return
		}
	}
	if !o.probe.skewed {
		o.probe.pause = 0
		return
	}
	o.log.Info("the collector takes this sensor's clock again", "offset_was", o.probe.offset)
	o.counters.clockOffset.Store(0)
	o.probe = prober{}
	o.hold = now
	o.hurry(now)
}
