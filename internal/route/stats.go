package route

import (
	"fmt"
	"sync/atomic"
)

// Reason is why all routes were read. It indexes counter arrays of length Reasons.
type Reason uint8

// The reasons.
const (
	ReasonStart   Reason = iota // at Open
	ReasonOverrun               // the kernel dropped messages: the socket's buffer was full
	ReasonLink                  // a link went up or down, or away
	ReasonAddress               // an address went away
	ReasonNexthop               // a next hop object changed
	ReasonUnclear               // a message could mean more than one thing
	ReasonUnknown               // a route was deleted that was not known
	ReasonMessage               // a message could not be read
	ReasonRetry                 // the last reading failed, or the routes changed all the while
	ReasonRefresh               // nothing was heard of a change for long
	reasons       = int(iota)
)

// Reasons is how many there are.
const Reasons = reasons

var reasonNames = [Reasons]string{
	"start", "overrun", "link", "address", "nexthop", "unclear", "unknown", "message", "retry", "refresh",
}

func (r Reason) String() string {
	if int(r) < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Stats is what is known and what happened. Counts are cumulative.
type Stats struct {
	Routes   int             // held
	Updates  uint64          // messages about routes that were applied
	Overruns uint64          // times the kernel dropped messages
	Readings [Reasons]uint64 // full readings by what asked for them first
	Failures uint64          // of those, how many did not succeed
	Refused  uint64          // routes for which there was no room
}

type counters struct {
	routes                               atomic.Int64
	updates, overruns, failures, refused atomic.Uint64
	readings                             [Reasons]atomic.Uint64
}

// Stats gives a copy; any goroutine may call it.
func (t *Table) Stats() Stats {
	c := &t.counters
	st := Stats{
		Routes: int(c.routes.Load()), Updates: c.updates.Load(), Overruns: c.overruns.Load(), Failures: c.failures.Load(), Refused: c.refused.Load(),
	}
	for i := range st.Readings {
		st.Readings[i] = c.readings[i].Load()
	}
	return st
}
