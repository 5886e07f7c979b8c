package flowtable

import "flowsensor/internal/flow"

// span is the time from one instant to another, 0 where it would be negative. It has room for any two int64.
func span(from, to int64) uint64 {
	if to <= from {
		return 0
	}
	return uint64(to) - uint64(from)
}

// later is an instant plus a wait, and before never.
func later(at int64, wait uint64) int64 {
	if wait >= span(at, never) {
		return never - 1
	}
	return at + int64(wait)
}

// epoch is a time in steps, of which the longest timer has 32 to 63, modulo 256. It lets add see without a look at cold
// that a record is young: one of fewer than Table.young steps is surely younger than the active timer. No record in an
// entry reaches 256 steps: first is within one horizon of seen, and add has checked that the packet is within another.
func (t *Table) epoch(at int64) uint8 { return uint8(uint64(at) >> (t.shift & 63)) }

// due says what is due in an entry at a time: with a reason, the record is to be exported; gone says that the flow is over
// then, otherwise a new record begins. A lingering flow's active timer is left to join.
func (t *Table) due(e *hot, c *cold, at int64) (reason flow.EndReason, gone bool) {
	gap := span(e.seen, at)
	if e.flags&lingering != 0 {
		if gap >= t.linger && at >= e.seen {
			return lingerReason(e), true
		}
		return 0, false
	}
	idle := gap >= t.inactive
	active := span(c.first, at) >= t.active && !empty(e, c)
	switch {
	case idle && (!active || t.idleFirst(e, c)):
		return flow.EndIdle, true
	case active:
		return flow.EndActive, idle
	default:
		return 0, false
	}
}

// idleFirst reports whether an entry's inactive timer runs out before its active timer.
func (t *Table) idleFirst(e *hot, c *cold) bool {
	return t.active > t.inactive && span(c.first, e.seen) < t.active-t.inactive
}

// next is when something is due in an entry if no packet comes.
func (t *Table) next(e *hot, c *cold) int64 {
	switch {
	case e.flags&lingering != 0:
		return later(e.seen, t.linger)
	case empty(e, c):
		return later(e.seen, t.inactive)
	default:
		return min(later(c.first, t.active), later(e.seen, t.inactive))
	}
}

func lingerReason(e *hot) flow.EndReason {
	if e.flags&sawRST != 0 {
		return flow.EndRST
	}
	return flow.EndFIN
}
