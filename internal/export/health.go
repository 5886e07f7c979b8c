package export

import (
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// When trouble counts as lasting, and as over. A collector that is down is known only by the ICMP errors that come
// back, which the kernel of its host may limit to one a second and a firewall to none.
const (
	troubleLasts = 10 * time.Second
	troubleOver  = 10 * time.Second
)

// health turns errors of single sends into the few lines of a log and the few look-ups that they are worth. It belongs
// to the sender's goroutine.
type health struct {
	log     *slog.Logger
	kick    chan<- struct{} // asks the resolver for another address
	maxKick time.Duration

	bad       bool
	errors    uint64 // since it is bad
	since     time.Time
	last      time.Time
	nextKick  time.Time
	kickAfter time.Duration
}

// report takes the error of a send; errors alone do not lose a datagram.
func (h *health) report(err error, ends Endpoints, now time.Time) {
	h.errors++
	h.last = now
	if h.bad {
		return
	}
	h.bad, h.since, h.errors = true, now, 1
	h.kickAfter = troubleLasts
	h.nextKick = now.Add(h.kickAfter)
	if errors.Is(err, unix.ECONNREFUSED) {
		h.log.Warn("collector's host says that nobody listens there, sending goes on",
			"remote", ends.Remote, "error", err)
		return
	}
	h.log.Warn("sending to the collector fails", "remote", ends.Remote, "local", ends.Local, "error", err)
}

// check is called about once a second.
func (h *health) check(now time.Time) {
	if !h.bad {
		return
	}
	if now.Sub(h.last) >= troubleOver {
		h.bad = false
		h.log.Info("no more errors from sending to the collector", "errors", h.errors, "lasted", h.last.Sub(h.since))
		return
	}
	if h.last.Before(h.nextKick) {
		return
	}
	// At growing intervals: a look-up may bring no better address.
	h.kickAfter = min(2*h.kickAfter, h.maxKick)
	h.nextKick = now.Add(h.kickAfter)
	select {
	case h.kick <- struct{}{}:
	default: // the resolver has not come round to the last one yet
	}
}
