package wire

import (
	"encoding/binary"

	"flowsensor/internal/flow"
)

// The body of a Report datagram, coding 0: coding, boot, seq, floor and base as in a Flows body; the number of readings, 1
// to MaxReadings; then for each:
//
//	subject  0: that of the reading before; otherwise 1 + its length, then the subject
//	name     its length, then the name
//	value    signed

// Bounds of a report's body.
const (
	// MaxReadings is the most readings one batch holds.
	MaxReadings = 1024
	// MaxSubject is the longest subject, in octets.
	MaxSubject = MaxInterfaceName
)

// ReportEncoder collects readings into the body of one Report datagram, under the rules of a FlowsEncoder. Make it with
// NewReportEncoder; not safe for concurrent use.
type ReportEncoder struct {
	limit   int
	count   int
	subject string // of the newest reading
	coded   []byte
}

// NewReportEncoder makes an encoder for bodies of at most limit octets, not under MinBody.
func NewReportEncoder(limit int) *ReportEncoder { return &ReportEncoder{limit: limit} }

// Len is the number of readings added.
func (e *ReportEncoder) Len() int { return e.count }

// Size is the length of the body in octets.
func (e *ReportEncoder) Size() int { return headLen + uvarintLen(uint64(e.count)) + len(e.coded) }

// Reset empties the encoder for the next batch and keeps its memory.
func (e *ReportEncoder) Reset() { e.count, e.subject, e.coded = 0, "", e.coded[:0] }

// Add takes a reading and reports whether it fitted; false means full, and nothing was added. A subject that a parser would
// refuse is made fit; a name that is no meter's is left out, which says true.
func (e *ReportEncoder) Add(r flow.Reading) bool {
	if !flow.ValidReadingName(r.Name) {
		return true
	}
	if e.count == MaxReadings {
		return false
	}
	subject := r.Subject
	if !validName(subject) {
		subject = fitName(subject)
	}
	before := len(e.coded)
	if e.count > 0 && subject == e.subject {
		e.coded = append(e.coded, 0)
	} else {
		e.coded = binary.AppendUvarint(e.coded, uint64(len(subject))+1)
		e.coded = append(e.coded, subject...)
	}
	e.coded = binary.AppendUvarint(e.coded, uint64(len(r.Name)))
	e.coded = append(e.coded, r.Name...)
	e.coded = binary.AppendUvarint(e.coded, zigzag(r.Value))
	e.count++
	if e.Size() > e.limit {
		e.coded = e.coded[:before]
		e.count--
		return false
	}
	e.subject = subject
	return true
}

// AppendBody appends the body, under the rules of FlowsEncoder.AppendBody.
func (e *ReportEncoder) AppendBody(dst []byte, n Numbers) []byte {
	dst = binary.AppendUvarint(n.append(dst), uint64(e.count))
	return append(dst, e.coded...)
}

// ParseReport parses the body of a Report datagram into b: its numbers and readings. All or nothing, as ParseFlows.
func ParseReport(body []byte, b *flow.Batch) error {
	p := reportParser{reader: reader{rest: body}, readings: b.Readings[:0]}
	p.numbers(b)
	p.body()
	b.Readings = p.readings
	if p.err != nil {
		b.Boot, b.Seq, b.Floor, b.Base = 0, 0, 0, 0
		b.Readings = b.Readings[:0]
	}
	return p.err
}

// reportParser is a report's body on its way into a batch.
type reportParser struct {
	reader

	readings []flow.Reading
}

func (p *reportParser) body() {
	n := p.uvarint()
	if p.err == nil && (n == 0 || n > MaxReadings) {
		p.fail(ErrCount)
	}
	subject := ""
	for i := uint64(0); i < n && p.err == nil; i++ {
		subject = p.subject(i, subject)
		r := flow.Reading{Subject: subject, Name: p.name(), Value: p.signed()}
		if p.err == nil {
			p.readings = append(p.readings, r)
		}
	}
	if p.err == nil && len(p.rest) > 0 {
		p.fail(ErrTrailing)
	}
}

// subject reads the i-th reading's. One way to code it: the same as before is never spelled out.
func (p *reportParser) subject(i uint64, before string) string {
	n := p.upTo(MaxSubject + 1)
	if n == 0 {
		if i == 0 {
			p.fail(ErrReference)
		}
		return before
	}
	text := string(p.take(int(n - 1)))
	if p.err == nil && (!validName(text) || i > 0 && text == before) {
		p.fail(ErrInterface)
	}
	return text
}

// name cuts a name from the body, the one that the last report had at this place where it is the same.
func (p *reportParser) name() string {
	text := p.take(int(p.upTo(flow.MaxReadingName)))
	if p.err != nil {
		return ""
	}
	var name string
	if at := len(p.readings); at < cap(p.readings) {
		name = p.readings[:at+1][at].Name
	}
	if name != string(text) {
		name = string(text)
	}
	if !flow.ValidReadingName(name) {
		p.fail(ErrMeter)
	}
	return name
}
