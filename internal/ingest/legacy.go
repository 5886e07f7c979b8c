package ingest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"flowsensor/internal/flow"
	"flowsensor/internal/legacy"
)

// LegacyStats is what came from the agents of older systems. Nothing of it is in the other volumes.
type LegacyStats struct {
	// Outcomes counts datagrams by how they ended; the sum is that of the two legacy reasons.
	Outcomes  [legacy.Reasons]uint64
	Accepted  flow.Volume // handed over
	QueueFull flow.Volume // refused by the sink, and lost
	Unfit     flow.Volume // refused by the sink for good, and lost
	Durable   flow.Volume // of what was accepted
	Lost      flow.Volume // of what was accepted
	Agents    []legacy.AgentStats
}

// legacyCounters are written by any goroutine: these agents are few and slow.
type legacyCounters struct {
	outcomes                   [legacy.Reasons]atomic.Uint64
	accepted, queueFull, unfit flow.VolumeCounter
	durable, lost              flow.VolumeCounter
}

func (c *legacyCounters) load(agents *legacy.Agents) LegacyStats {
	st := LegacyStats{
		Accepted: c.accepted.Load(), QueueFull: c.queueFull.Load(), Unfit: c.unfit.Load(), Durable: c.durable.Load(), Lost: c.lost.Load(),
	}
	for i := range c.outcomes {
		st.Outcomes[i] = c.outcomes[i].Load()
	}
	if agents != nil {
		st.Agents = agents.Stats()
	}
	return st
}

func (c *legacyCounters) settle(r Result, v flow.Volume) {
	if r == Durable {
		c.durable.Add(v)
	} else {
		c.lost.Add(v)
	}
}

// SetAgents replaces the agents of older systems; nil is none. To keep what the present ones have sent, make the new ones
// of them.
func (s *Server) SetAgents(agents *legacy.Agents) { s.agents.Store(agents) }

// Agents gives the agents of older systems, nil where there are none.
func (s *Server) Agents() *legacy.Agents { return s.agents.Load() }

// legacyErrors are what the log says of the reasons, and the others what it says of a batch that was lost.
var (
	legacyErrors = func() (errs [legacy.Reasons]error) {
		for i := range errs {
			errs[i] = fmt.Errorf("legacy agent: %s", legacy.Reason(i))
		}
		return errs
	}()
	errLegacyFull  = errors.New("legacy agent: the next stage has no room")
	errLegacyUnfit = errors.New("legacy agent: the next stage does not take such a batch")
)

// takeLegacy takes a bare token as far as the sink.
func (p *processor) takeLegacy(agents *legacy.Agents, a *arrival, o *outcome) {
	b := p.batch()
	reason := agents.Open(b, a.payload, a.from.Addr(), a.received)
	p.legacy.outcomes[reason].Add(1)
	o.reason = ReasonLegacy
	if reason != legacy.ReasonOK {
		p.recycle(b)
		if reason != legacy.ReasonGreeting {
			o.reason, o.err = ReasonLegacyRefused, legacyErrors[reason]
		}
		return
	}
	v := flow.VolumeOf(b)
	verdict := p.sink(b)
	if verdict == Accepted {
		p.legacy.accepted.Add(v)
		return
	}
	p.recycle(b)
	o.reason = ReasonLegacyRefused
	if verdict == Unfit {
		p.legacy.unfit.Add(v)
		o.err = errLegacyUnfit
		return
	}
	p.legacy.queueFull.Add(v)
	o.err = errLegacyFull
}
