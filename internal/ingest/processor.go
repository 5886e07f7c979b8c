package ingest

import (
	"errors"
	"net/netip"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// processor takes datagrams through their steps. It belongs to one goroutine; what several share lies in the Server.
type processor struct {
	*Server
	sink     Sink
	counters counters
	plain    []byte // of the datagram in hand, used again for the next
}

// arrival is a datagram with what the kernel said of it.
type arrival struct {
	payload   []byte
	truncated bool // it was longer than payload
	from      netip.Addr
	received  time.Time
}

// outcome is how a datagram ended, with what is known of it then. An answer is made from the same: the reason says
// whether there is one, and the header and the key that opened the datagram what stands in it.
type outcome struct {
	reason Reason
	err    error   // what a parser or validator said, nil otherwise
	sensor *sensor // nil before authentication
	opened seal.Opened
	header wire.Header
	volume Volume
}

// process takes one datagram through all its steps, counts how it ended, and logs a refusal as often as that is allowed;
// now is our own time, for the log's sake.
func (p *processor) process(a *arrival, now time.Time) Reason {
	var o outcome
	p.judge(a, &o)
	p.counters.outcomes[o.reason].Add(1)
	if o.sensor != nil {
		o.sensor.count(o.reason, o.volume)
	}
	if o.reason == ReasonAccepted {
		p.counters.accepted.add(o.volume)
		return o.reason
	}
	if o.reason == ReasonQueueFull {
		p.counters.queueFull.add(o.volume)
	}
	p.logRefusal(a, &o, now)
	return o.reason
}

// judge is the receive order.
func (p *processor) judge(a *arrival, o *outcome) {
	if a.truncated {
		o.reason = ReasonTruncated
		return
	}
	keys := p.keys.Load()
	opened, reason := keys.opener.Open(p.plain[:0], a.payload, a.from, a.received)
	if o.reason = openReasons[reason]; !o.reason.Authentic() {
		return
	}
	p.plain = opened.Plaintext[:0]
	o.opened = opened
	o.sensor = keys.sensors[opened.Sensor.ID]
	o.sensor.hear(&opened, a.received, len(a.payload))

	header, body, err := wire.ParseHeader(opened.Plaintext)
	o.header = header
	if o.reason != ReasonAccepted && header.Kind != wire.Probe {
		return // a probe is answered even when its clock is wrong: it asks for the time
	}
	if o.reason, o.err = judgeHeader(&header, opened.Sensor.ID, err); o.reason != ReasonAccepted {
		return
	}
	if header.Kind != wire.Probe { // which has no sequence and makes no state
		if o.reason = o.sensor.sequence(&header); o.reason != ReasonAccepted {
			return
		}
	}
	// A version is refused only now, since a replay must not be told anything.
	if err != nil {
		o.reason, o.err = ReasonVersion, err
		return
	}
	if header.Kind == wire.Flows {
		p.takeFlows(body, a, o)
		return
	}
	p.takeOther(body, a, o)
}

// judgeHeader says what is wrong with a header, given the error of its parser and the id outside the token. A version
// that is not ours is no matter of the header: its layout is the same in all.
func judgeHeader(h *wire.Header, id string, err error) (Reason, error) {
	switch {
	case errors.Is(err, wire.ErrKind):
		return ReasonKind, err
	case err != nil && !errors.Is(err, wire.ErrVersion):
		return ReasonHeader, err
	case h.ID != id:
		return ReasonIDMismatch, nil
	case err == nil && !h.Kind.ToCollector():
		return ReasonKind, nil
	default:
		return ReasonAccepted, nil
	}
}

// takeFlows parses and validates a batch, all of it or nothing, and hands it over.
func (p *processor) takeFlows(body []byte, a *arrival, o *outcome) {
	b := p.batch()
	if o.err = wire.ParseFlows(body, b); o.err != nil {
		o.reason = ReasonParse
		p.Release(b)
		return
	}
	v, err := validate(b)
	if err != nil {
		o.reason, o.err = ReasonValidate, err
		p.Release(b)
		return
	}
	b.Sensor, b.Boot, b.Received = o.sensor.id, o.header.Boot, a.received.UnixNano()
	b.Body = append(b.Body[:0], body...)
	seq := b.Seq // the batch is no longer ours once it was offered
	if o.reason = o.sensor.claim(b.Boot, seq); o.reason != ReasonAccepted {
		p.Release(b)
		return
	}
	o.volume = v
	if p.sink(b) != Accepted {
		o.reason = ReasonQueueFull
		o.sensor.release(o.header.Boot, seq)
		p.Release(b)
	}
}

// validate holds every record to what a sensor can have seen. The numbers of the batch itself are the parser's matter.
func validate(b *flow.Batch) (v Volume, err error) {
	v.Batches = 1
	for i := range b.Records {
		r := &b.Records[i]
		if err := r.Validate(); err != nil {
			return v, err
		}
		v.addRecord(r)
	}
	return v, nil
}

// takeOther hands the body of a kind other than Flows to its handler.
func (p *processor) takeOther(body []byte, a *arrival, o *outcome) {
	handler := p.cfg.Handlers[o.header.Kind]
	if handler == nil {
		o.reason = ReasonKindUnhandled
		return
	}
	verdict := handler(&Message{
		Sensor: o.sensor.id, Kind: o.header.Kind, Boot: o.header.Boot, TX: o.header.TX,
		Received: a.received, Offset: o.opened.Offset, Body: body,
	})
	if verdict == Malformed {
		o.reason = ReasonParse
	} else if verdict != Accepted {
		o.reason = ReasonQueueFull
	}
}
