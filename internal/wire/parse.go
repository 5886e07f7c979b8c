package wire

import (
	"math"
	"slices"

	"flowsensor/internal/flow"
)

// ParseFlows parses the body of a Flows datagram into b: all but Sensor, which is the caller's. The slices of b are used again. All or nothing: with an error b has no interfaces and no records and zero
// numbers. The records may still be nonsense: flow.Record.Validate is the next step.
//
// It takes no more memory than MaxRecords records and MaxInterfaces names, and no more than the length of the body calls
// for, whatever the body says.
func ParseFlows(body []byte, b *flow.Batch) error {
	p := parser{reader: reader{rest: body}, ifaces: b.Interfaces[:0], records: b.Records[:0]}
	p.body(b)
	b.Interfaces, b.Records = p.ifaces, p.records
	if p.err != nil {
		b.Boot, b.Seq, b.Floor, b.Base = 0, 0, 0, 0
		b.Interfaces, b.Records = b.Interfaces[:0], b.Records[:0]
	}
	return p.err
}

// parser is a flows body on its way into a batch.
type parser struct {
	reader

	ifaces  []flow.Interface
	used    int // interfaces that a shape has named so far
	records []flow.Record
}

// Until the last column fills it, a record's field Bytes holds what the columns in between need to know of it: the bits
// of its shape that call for more, and above them its pair: 2*distance + reversed, 0 when it has none.
const pairShift = 8

// pair gives the record that the i-th is paired with, nil when there is none.
func (p *parser) pair(i int) (other *flow.Record, reversed bool) {
	link := p.records[i].Bytes >> pairShift
	if link == 0 {
		return nil, false
	}
	return &p.records[i-int(link>>1)], link&1 != 0
}

func (p *parser) body(b *flow.Batch) {
	p.numbers(b)
	// Each column stands on those before it.
	whole := p.err == nil && p.interfaces() && p.count() && p.shapes() && p.addresses() && p.ports() && p.routes() && p.times() && p.counts()
	if whole && len(p.rest) > 0 {
		p.fail(ErrTrailing)
	}
	// An interface without a name is in the table for its index only.
	p.ifaces = slices.DeleteFunc(p.ifaces, func(i flow.Interface) bool { return i.Name == "" })
}

// count reads the number of records and makes room for them: no more than can be in the octets that are left.
func (p *parser) count() bool {
	n := p.uvarint()
	switch {
	case p.err != nil:
	case n == 0 || n > MaxRecords:
		p.fail(ErrCount)
	case n > uint64(len(p.rest)/minRecord):
		p.fail(ErrTruncated)
	default:
		p.records = slices.Grow(p.records, int(n))[:n]
	}
	return p.err == nil
}

func (p *parser) interfaces() bool {
	n := p.uvarint()
	if n > MaxInterfaces {
		p.fail(ErrInterface)
	}
	for range n {
		if p.err != nil {
			return false
		}
		p.iface()
	}
	return p.err == nil
}

func (p *parser) iface() {
	index := p.upTo(math.MaxUint32)
	text := p.take(int(p.upTo(MaxInterfaceName)))
	if p.err != nil {
		return
	}
	for i := range p.ifaces {
		if p.ifaces[i].Index == uint32(index) {
			p.fail(ErrInterface)
			return
		}
	}
	// The name that the last batch had at this place is the same one, mostly: its memory serves again.
	var name string
	if at := len(p.ifaces); at < cap(p.ifaces) {
		name = p.ifaces[:at+1][at].Name
	}
	if name != string(text) {
		name = string(text)
	}
	if !validName(name) {
		p.fail(ErrInterface)
		return
	}
	p.ifaces = append(p.ifaces, flow.Interface{Index: uint32(index), Name: name})
}
