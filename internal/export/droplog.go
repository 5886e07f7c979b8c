package export

import (
	"log/slog"
	"time"
)

// dropLogEvery is the least time between two log lines on drops for the same reason.
const dropLogEvery = time.Minute

// dropLog tells of drops, which are only counted where they happen. It belongs to the sender's goroutine.
type dropLog struct {
	log      *slog.Logger
	counters *counters
	told     [Reasons]Amount
	next     [Reasons]time.Time
}

// check tells what is new, of each reason at most once in dropLogEvery.
func (d *dropLog) check(now time.Time) {
	for r := range Reasons {
		if !now.Before(d.next[r]) && d.tell(r) {
			d.next[r] = now.Add(dropLogEvery)
		}
	}
}

// last tells the rest.
func (d *dropLog) last() {
	for r := range Reasons {
		d.tell(r)
	}
}

func (d *dropLog) tell(r Reason) bool {
	lost := d.counters.dropped[r].load()
	more := lost.Minus(d.told[r])
	if more.Records == 0 && more.Answers == 0 {
		return false
	}
	d.told[r] = lost
	args := []any{"reason", r, "records", more.Records, "packets", more.Packets, "bytes", more.Bytes}
	if more.Answers > 0 {
		args = append(args, "dns_answers", more.Answers)
	}
	if text := d.counters.lastError.Load(); text != nil && r != QueueFull {
		args = append(args, "error", *text)
	}
	d.log.Warn("records or DNS answers dropped", args...)
	return true
}
