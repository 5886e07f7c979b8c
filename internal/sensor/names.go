package sensor

import (
	"sync/atomic"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// nameReader reads the DNS answers among one worker's packets. The worker's goroutine owns it; balance may be called by any.
type nameReader struct {
	decoder *dnsmsg.Decoder
	emit    func(*flow.DNSAnswer)
	pass    func(*flow.DNSAnswer) // limit, made once

	failures dnsmsg.FailureLimit
	limited  atomic.Uint64
}

func newNameReader(c DNSConfig, emit func(*flow.DNSAnswer)) *nameReader {
	n := &nameReader{decoder: dnsmsg.NewDecoder(), emit: emit, failures: dnsmsg.FailureLimit{PerSecond: c.MaxFailures}}
	n.pass = n.limit
	return n
}

// visit takes a packet from the port of DNS, before its stamp is converted: answers have the time of the wall clock.
func (n *nameReader) visit(p *flow.Packet, f *frame.Frame) {
	if s, ok := packet.Segment(f); ok {
		n.decoder.Segment(p, s, n.pass)
	}
}

func (n *nameReader) limit(a *flow.DNSAnswer) {
	if !n.failures.Pass(a, a.Time) {
		n.limited.Add(1)
		return
	}
	n.emit(a)
}

// balance adds to a ledger what became of the messages.
func (n *nameReader) balance(l *Ledger) {
	s := n.decoder.Stats()
	for reason, count := range s.Messages {
		l.dns(dnsmsg.Reason(reason).String(), count)
	}
	for note, count := range s.Notes {
		l.dns(dnsmsg.Note(note).String(), count)
	}
	l.dns("failure_limited", n.limited.Load())
}
