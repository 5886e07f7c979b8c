package flowtable

import "flowsensor/internal/flow"

const (
	// lap is the time in ns in which the sweep comes round once.
	lap = 1_000_000_000
	// A call reads one part in stepShare of the entries, or minStep where that is more, and stops after some maxEmit
	// records; what it leaves is done by the calls after it.
	stepShare = 8
	minStep   = 1 << 14
	maxEmit   = 1 << 14
)

// sweep is where the sweep over the entries stands.
type sweep struct {
	at      int    // the next entry
	now     int64  // time of the last call
	owed    uint64 // the part of a lap that is due, in ns
	begun   bool
	refs    [laneCount]uint32
	leaving [laneCount]departure
}

// departure is an entry that is about to leave.
type departure struct {
	hash   uint64
	ref    uint32
	reason flow.EndReason
}

// Expire ends what is due at now whether or not packets arrive. Each call does a small part of the work, as much as the
// time since the last one asks for; called ten times a second or more, it comes round in about a second. It never takes
// long, and may be called as often as the caller likes. While packets wait to be accounted, now should be their time.
func (t *Table) Expire(now int64) {
	s := &t.sweep
	if s.begun {
		s.owed += min(span(s.now, now), lap-s.owed)
	}
	s.now, s.begun = now, true
	used := t.used
	steps := min(int(s.owed*uint64(used)/lap), max(used/stepShare, minStep))
	if steps == 0 {
		return
	}
	s.owed -= min(s.owed, uint64(t.sweepOver(steps, now))*lap/uint64(used))
	t.publish()
}

// sweepOver looks at the next entries, steps of them at most, and says at how many.
func (t *Table) sweepOver(steps int, now int64) (done int) {
	s := &t.sweep
	before := t.counts[records]
	for done < steps && t.used > 0 && t.counts[records]-before < maxEmit {
		if s.at >= t.used {
			s.at = 0
		}
		read, found := t.collect(min(steps-done, t.used-s.at), now)
		done += read
		s.at += read
		leaving := 0
		for _, ref := range s.refs[:found] {
			if t.visit(ref, now, &s.leaving[leaving]) {
				leaving++
			}
		}
		for i := range s.leaving[:leaving] {
			d := &s.leaving[i]
			t.export(&t.hot[d.ref], &t.cold[d.ref], d.reason)
			t.release(d.hash, d.ref)
		}
	}
	return done
}

// collect reads on in dues, over limit entries or until sweep.refs is full, and puts there those to visit. It says how many
// entries it has read and found.
func (t *Table) collect(limit int, now int64) (read, found int) {
	s := &t.sweep
	for i, due := range t.dues[s.at : s.at+limit] {
		// Of those in use most are due within reach. What is due beyond it was stranded by a clock set back.
		if due == never || due > now && span(now, due) <= 2*t.horizon {
			continue
		}
		ref := uint32(s.at + i)
		prefetchHot(&t.hot[ref])
		prefetchCold(&t.cold[ref])
		s.refs[found] = ref
		if found++; found == len(s.refs) {
			return i + 1, found
		}
	}
	return limit, found
}

// visit does what is due in an entry at now. Where the flow is over it fills in d instead and says true.
func (t *Table) visit(ref uint32, now int64, d *departure) bool {
	e, c := &t.hot[ref], &t.cold[ref]
	reason, gone := t.due(e, c, now)
	switch {
	case reason == 0:
		reason, gone = t.postpone(ref, now)
	case !gone:
		t.export(e, c, reason)
		t.dues[ref] = t.next(e, c)
	}
	if gone {
		*d = departure{hash: t.hashOf(e), ref: ref, reason: reason}
		prefetchBucket(&t.buckets[t.buckets.home(d.hash)])
	}
	return gone
}

// postpone sets the due time of an entry in which nothing is due. Where that is further away than any timer reaches, a
// clock set back has stranded the entry: it gets one more wait by the new time, and is over if no packet came until then.
func (t *Table) postpone(ref uint32, now int64) (reason flow.EndReason, gone bool) {
	e, c := &t.hot[ref], &t.cold[ref]
	next := t.next(e, c)
	if span(now, next) <= 2*t.horizon {
		t.dues[ref] = next
		return 0, false
	}
	wait, reason := t.inactive, flow.EndIdle
	if e.flags&lingering != 0 {
		wait, reason = t.linger, lingerReason(e)
	}
	if seen := uint32(e.seen)<<1 | 1; c.strand != seen {
		c.strand = seen
	} else if t.dues[ref] <= now {
		return reason, true
	}
	t.dues[ref] = later(now, wait)
	return 0, false
}
