package ingest

import (
	"sync/atomic"
	"time"
)

// throttle lets one log line a period pass for each reason, and tells how many refusals the silence before it covered.
// It is safe for concurrent use and takes no lock: most calls, under a flood of junk, read one word.
type throttle struct {
	period time.Duration
	start  time.Time
	slots  [reasons]struct {
		open   atomic.Int64  // ns after start from which the next line may pass
		logged atomic.Uint64 // refusals of this reason at the last line
	}
}

func newThrottle(period time.Duration, start time.Time) *throttle {
	return &throttle{period: period, start: start}
}

// allow reports whether a line on r may be logged now. One that may is told, by total, how many refusals of r were
// counted in all, this one included, and gives the number of those that no line named.
func (t *throttle) allow(r Reason, now time.Time, total func(Reason) uint64) (suppressed uint64, ok bool) {
	slot := &t.slots[r]
	at := int64(now.Sub(t.start))
	open := slot.open.Load()
	if at < open || !slot.open.CompareAndSwap(open, at+int64(t.period)) {
		return 0, false
	}
	sum := total(r)
	before := slot.logged.Swap(sum)
	return max(sum-before, 1) - 1, true
}
