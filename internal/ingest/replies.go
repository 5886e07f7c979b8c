package ingest

import (
	"net/netip"
	"time"

	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// The rates at which a sensor is answered, beside the coalescing of acknowledgements.
const (
	refusalEvery = time.Second            // each reason
	probeEvery   = 100 * time.Millisecond // in all
)

// sender is where a datagram came from, and by which key it was opened: where an answer to it goes, and how it is sealed.
type sender struct {
	socket *socket // it came in by; nil without a network
	from   netip.AddrPort
	local  netip.Addr // it was sent to; the zero Addr when the kernel did not say
	length int        // octets of the datagram: no answer to it is longer
	key    seal.Key
}

// replies is what a sensor is to be told, and where. It is part of a sensor, under its lock.
type replies struct {
	to       sender // of the datagram with the highest new tx; length 0 before the first
	boot, tx uint64 // of that datagram

	refusals [wire.MaxRefusals]wire.Refusal
	pending  int                             // of refusals
	told     [wire.RefusedFull + 1]time.Time // when each reason was told last
	probed   time.Time                       // when a probe was answered last
	skewed   struct{ boot, tx uint64 }       // of the latest datagram that was refused for its clock and answered
	listed   bool                            // on the answerer's list
}

// follow makes the source of a datagram the place that answers go to.
func (r *replies) follow(h *wire.Header, from *sender) {
	r.to, r.boot, r.tx = *from, h.Boot, h.TX
}

// enlist reports whether the sensor is not on the answerer's list yet, where it will be now.
func (r *replies) enlist() bool {
	was := r.listed
	r.listed = true
	return !was
}

// refuse notes a refusal that is to be told. Where there is no room it is forgotten: what is sent again is refused again.
func (r *replies) refuse(reason wire.RefusalReason, tx uint64) {
	if reason == wire.RefusedFull {
		for i := range r.refusals[:r.pending] {
			if r.refusals[i].Reason == reason {
				r.refusals[i].TX = max(r.refusals[i].TX, tx)
				return
			}
		}
	}
	if r.pending < len(r.refusals) {
		r.refusals[r.pending] = wire.Refusal{Reason: reason, TX: tx}
		r.pending++
	}
}

// due takes out the refusals that may be told now.
func (r *replies) due(dst []wire.Refusal, now time.Time) []wire.Refusal {
	kept := 0
	for _, refusal := range r.refusals[:r.pending] {
		if now.Sub(r.told[refusal.Reason]) >= refusalEvery {
			dst = append(dst, refusal)
			continue
		}
		r.refusals[kept] = refusal
		kept++
	}
	r.pending = kept
	for _, refusal := range dst {
		r.told[refusal.Reason] = now
	}
	return dst
}

// mayTellClock reports whether a datagram that was refused for its clock may be answered, and counts that as done. Its tx
// has not passed the replay window, so that it is answered only where it is newer than all that was taken or answered.
func (r *replies) mayTellClock(h *wire.Header, now time.Time) bool {
	if now.Sub(r.told[wire.RefusedClock]) < refusalEvery || !newer(h, r.boot, r.tx) || !newer(h, r.skewed.boot, r.skewed.tx) {
		return false
	}
	r.told[wire.RefusedClock] = now
	r.skewed.boot, r.skewed.tx = h.Boot, h.TX
	return true
}

func newer(h *wire.Header, boot, tx uint64) bool {
	return h.Boot > boot || h.Boot == boot && h.TX > tx
}

// mayTellTime reports whether a probe may be answered, and counts that as done.
func (r *replies) mayTellTime(now time.Time) bool {
	if now.Sub(r.probed) < probeEvery {
		return false
	}
	r.probed = now
	return true
}
