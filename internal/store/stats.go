package store

import "time"

// Stats is a state of the pool in which
//
//	Submitted = Written + Withheld + the sum of DeadLettered + the sum of Dropped + Pending
//
// holds in records, packets and bytes.
type Stats struct {
	Submitted, Written, Pending Count
	Withheld                    Count              // records that were not wanted as points of their own: Deps.Keep
	DeadLettered                [deadReasons]Count // by DeadReason
	Dropped                     [dropReasons]Count // by DropReason

	Lines    uint64 // written; a line written twice counts once
	Requests uint64 // writes tried, by whatever end
	Retries  uint64 // writes repeated after a pause
	Splits   uint64 // writes repeated in parts, because they were too large or refused in part

	RequestTime   time.Duration // sum over Requests
	LastSuccess   time.Time     // zero before the first
	LastError     string        // holds no secret
	LastErrorTime time.Time
	// Failing is the number of writers that wait because their last write failed.
	Failing int
}

// settle moves c from pending to where it belongs.
func (p *Pool) settle(to *Count, c Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Pending.sub(c)
	to.add(c)
}

// Stats is a copy; safe for concurrent use.
func (p *Pool) Stats() Stats {
	failing := p.health.failingNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Failing = failing
	return s
}

// observe counts one write that took d.
func (p *Pool) observe(lines Lines, d time.Duration, err error) {
	now, c := p.now(), lines.Count()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Requests++
	p.stats.RequestTime += d
	if err != nil {
		p.stats.LastError, p.stats.LastErrorTime = err.Error(), now
		return
	}
	p.stats.Lines += uint64(lines.Len())
	p.stats.Pending.sub(c)
	p.stats.Written.add(c)
	p.stats.LastSuccess = now
}
