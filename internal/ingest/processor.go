package ingest

import (
	"errors"
	"net/netip"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/legacy"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// processor takes datagrams through their steps. It belongs to one goroutine; what several share lies in the Server.
type processor struct {
	*Server
	sink     Sink
	socket   *socket // nil without a network
	counters counters
	plain    []byte // of the datagram in hand, used again for the next
}

// arrival is a datagram with what the kernel said of it.
type arrival struct {
	payload   []byte
	truncated bool // it was longer than payload
	from      netip.AddrPort
	local     netip.Addr // it was sent to; the zero Addr when the kernel did not say
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
	volume flow.Volume
	// skewed: the stamp is too far off, which a probe is not refused for. wellFormed: the header is one to be answered.
	skewed, wellFormed bool
	twin               bool // another machine sends as this sensor
}

// sender is where an answer to the datagram goes.
func (p *processor) sender(a *arrival, o *outcome) *sender {
	return &sender{
		socket: p.socket, from: a.from, local: a.local, length: len(a.payload), key: o.opened.Sensor.Keys[o.opened.KeyIndex],
	}
}

// process takes one datagram through all its steps, counts how it ended, and logs a refusal as often as that is allowed;
// now is our own time, for the log's sake.
func (p *processor) process(a *arrival, now time.Time) Reason {
	var o outcome
	p.judge(a, &o)
	p.counters.outcomes[o.reason].Add(1)
	if o.sensor != nil {
		o.sensor.count(o.reason, o.volume)
		p.answer(&o, p.sender(a, &o), now)
		if o.twin {
			p.logTwin(a, &o, now)
		}
	}
	if o.reason == ReasonAccepted {
		p.counters.accepted.Add(o.volume)
		return o.reason
	}
	if o.reason == ReasonQueueFull {
		p.counters.queueFull.Add(o.volume)
	}
	if o.reason == ReasonUnfit {
		p.counters.unfit.Add(o.volume)
	}
	if o.reason != ReasonLegacy {
		p.logRefusal(a, &o, now)
	}
	return o.reason
}

// judge is the receive order.
func (p *processor) judge(a *arrival, o *outcome) {
	if a.truncated {
		o.reason = ReasonTruncated
		return
	}
	if agents := p.agents.Load(); agents != nil && legacy.Looks(a.payload) {
		p.takeLegacy(agents, a, o)
		return
	}
	keys := p.keys.Load()
	opened, reason := keys.opener.Open(p.plain[:0], a.payload, a.from.Addr().Unmap(), a.received)
	if o.reason = openReasons[reason]; !o.reason.Authentic() {
		return
	}
	p.plain = opened.Plaintext[:0]
	o.opened = opened
	o.sensor = keys.sensors[opened.Sensor.ID]

	header, body, err := wire.ParseHeader(opened.Plaintext)
	o.header = header
	headerReason, headerErr := judgeHeader(&header, opened.Sensor.ID, err)
	o.skewed, o.wellFormed = o.reason != ReasonAccepted, headerReason == ReasonAccepted
	o.sensor.hear(a, o)
	if o.skewed && header.Kind != wire.Probe {
		return // a probe is answered even when its clock is wrong: it asks for the time
	}
	if o.reason, o.err = headerReason, headerErr; o.reason != ReasonAccepted {
		return
	}
	if header.Kind != wire.Probe { // which has no sequence and makes no state
		if o.reason, o.twin = o.sensor.sequence(&header, a.received, p.sender(a, o)); o.reason != ReasonAccepted {
			return
		}
	}
	// A version is refused only now, since a replay must not be told anything.
	if err != nil {
		o.reason, o.err = ReasonVersion, err
		return
	}
	p.takeBody(body, a, o)
}

// takeBody takes a batch, or a probe: there is nothing else that travels to a collector.
func (p *processor) takeBody(body []byte, a *arrival, o *outcome) {
	if content, ok := o.header.Kind.Content(); ok {
		p.takeBatch(content, body, a, o)
		return
	}
	if o.err = wire.ParseProbe(body); o.err != nil {
		o.reason = ReasonParse
	}
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

// takeBatch parses and validates a batch, all of it or nothing, and hands it over.
func (p *processor) takeBatch(content flow.Content, body []byte, a *arrival, o *outcome) {
	b := p.batch()
	if o.err = wire.Parse(content, body, b); o.err != nil {
		o.reason = ReasonParse
		p.recycle(b)
		return
	}
	v, err := validate(b, o.header.Boot)
	if err != nil {
		o.reason, o.err = ReasonValidate, err
		p.recycle(b)
		return
	}
	b.Sensor, b.Received = o.sensor.id, a.received.UnixNano()
	b.Body = append(b.Body[:0], body...)
	boot, seq := b.Boot, b.Seq // the batch is no longer ours once it was offered
	var answer bool
	if o.reason, answer = o.sensor.claim(b); o.reason != ReasonAccepted {
		if answer {
			p.answers.add(o.sensor)
		}
		p.recycle(b)
		return
	}
	o.volume = v
	verdict := p.sink(b)
	if verdict == Accepted {
		return
	}
	o.reason = ReasonQueueFull
	if verdict == Unfit {
		o.reason = ReasonUnfit
	}
	o.sensor.release(boot, seq)
	p.recycle(b)
}

// errBoot refuses a batch of the future.
var errBoot = errors.New("the batch is of a later boot than its sender")

// validate holds every record and every DNS answer to what a sensor can have seen. The other numbers of the batch, and what else it may hold,
// are the parser's matter.
func validate(b *flow.Batch, boot uint64) (v flow.Volume, err error) {
	if b.Boot > boot {
		return v, errBoot
	}
	v.Batches = 1
	for i := range b.Records {
		r := &b.Records[i]
		if err := r.Validate(); err != nil {
			return v, err
		}
		v.AddRecord(r)
	}
	for i := range b.Answers {
		if err := b.Answers[i].Validate(); err != nil {
			return v, err
		}
	}
	return v, nil
}
