package wire

import (
	"math"
	"slices"

	"flowsensor/internal/flow"
)

// ParseDNS parses the body of a DNS datagram into b: all but Sensor, which is the caller's. The slice of answers is used
// again, but what an answer holds is new memory. All or nothing: with an error b has no answers and zero numbers. The
// answers may still be nonsense: flow.DNSAnswer.Validate is the next step.
//
// It takes no more memory than MaxAnswers answers call for, each with the names and addresses that a valid one may have.
func ParseDNS(body []byte, b *flow.Batch) error {
	p := dnsParser{reader: reader{rest: body}, answers: b.Answers[:0]}
	p.body(b)
	b.Answers = p.answers
	if p.err != nil {
		b.Boot, b.Seq, b.Floor, b.Base = 0, 0, 0, 0
		clear(b.Answers) // of what they hold
		b.Answers = b.Answers[:0]
	}
	return p.err
}

// dnsParser is a DNS body on its way into a batch.
type dnsParser struct {
	reader

	answers []flow.DNSAnswer
	names   []string // as they came, for those that end like them
	// What the answers hold is taken from these, a part each.
	chains    []string
	addresses []flow.DNSAddress
}

func (p *dnsParser) body(b *flow.Batch) {
	p.numbers(b)
	if !p.count() {
		return
	}
	var before flow.DNSAnswer
	for i := range p.answers {
		a := &p.answers[i]
		p.answer(a, &before)
		if p.err != nil {
			return
		}
		before = *a
	}
	if len(p.rest) > 0 {
		p.fail(ErrTrailing)
	}
}

func (p *dnsParser) count() bool {
	n := p.uvarint()
	switch {
	case p.err != nil:
	case n == 0 || n > MaxAnswers:
		p.fail(ErrCount)
	case n > uint64(len(p.rest)/minAnswer):
		p.fail(ErrTruncated)
	default:
		p.answers = slices.Grow(p.answers, int(n))[:n]
		p.names = make([]string, 0, n)
		p.addresses = make([]flow.DNSAddress, 0, n)
	}
	return p.err == nil
}

func (p *dnsParser) answer(a, before *flow.DNSAnswer) {
	*a = flow.DNSAnswer{Version: 4, QType: qtypeA}
	shape := p.octet()
	if shape >= dnsShapes || shape&(dnsQType|dnsAAAA) == dnsQType|dnsAAAA {
		p.fail(ErrValue)
	}
	if shape&dnsIPv6 != 0 {
		a.Version = 6
	}
	if shape&(dnsSameClient|dnsSameServer) != 0 && a.Version != before.Version {
		p.fail(ErrReference)
	}
	a.Client, a.Server = before.Client, before.Server
	if shape&dnsSameClient == 0 {
		a.Client = p.addr(a.Version)
	}
	if shape&dnsSameServer == 0 {
		a.Server = p.addr(a.Version)
	}
	if shape&dnsRCode != 0 {
		a.RCode = uint16(p.upTo(math.MaxUint16))
	}
	switch {
	case shape&dnsAAAA != 0:
		a.QType = qtypeAAAA
	case shape&dnsQType != 0:
		a.QType = uint16(p.upTo(math.MaxUint16))
	}
	a.Time = p.time(before.Time)
	a.Question = p.name()
	if shape&dnsChain != 0 {
		a.Chain = p.chain()
	}
	a.Addresses = p.addressList()
}

func (p *dnsParser) addr(version uint8) flow.Addr {
	if version != 6 {
		return flow.Addr{Lo: uint64(p.uint32())}
	}
	return flow.Addr{Hi: p.uint64(), Lo: p.uint64()}
}

// time reads a time in nanoseconds.
func (p *dnsParser) time(before int64) int64 {
	step, from := p.signed(), micros(before)
	if step > maxMicros-from || step < -from { // from is not below zero
		p.fail(ErrValue)
		return 0
	}
	return (from + step) * 1000
}

// name reads a name that is not longer than one may be.
func (p *dnsParser) name() string {
	front := p.take(int(p.upTo(flow.MaxDNSName)))
	distance := p.upTo(uint64(len(p.names)))
	if p.err != nil {
		return ""
	}
	var name string
	if distance == 0 {
		name = string(front)
	} else {
		name = p.joined(front, p.names[len(p.names)-int(distance)])
	}
	p.names = append(p.names, name)
	return name
}

// joined puts a front before the end of a known name.
func (p *dnsParser) joined(front []byte, known string) string {
	skip := int(p.upTo(flow.MaxDNSName))
	if p.err != nil {
		return ""
	}
	dotted := len(front) == 0 || front[len(front)-1] == '.'
	if skip >= len(known) || skip > 0 && known[skip-1] != '.' || !dotted || len(front)+len(known)-skip > flow.MaxDNSName {
		p.fail(ErrReference)
		return ""
	}
	if len(front) == 0 {
		return known[skip:]
	}
	return string(front) + known[skip:]
}

func (p *dnsParser) chain() []string {
	n := p.upTo(flow.MaxDNSChain)
	if n == 0 {
		p.fail(ErrValue)
	}
	start := len(p.chains)
	for range n {
		p.chains = append(p.chains, p.name())
	}
	return slices.Clip(p.chains[start:])
}

func (p *dnsParser) addressList() []flow.DNSAddress {
	n := p.upTo(flow.MaxDNSAddresses)
	if n == 0 {
		return nil
	}
	start := len(p.addresses)
	for range n {
		p.addresses = append(p.addresses, p.address(p.addresses[start:]))
	}
	return slices.Clip(p.addresses[start:])
}

func (p *dnsParser) address(before []flow.DNSAddress) flow.DNSAddress {
	at := flow.DNSAddress{Version: 4}
	switch life := p.upTo(2*flow.MaxDNSTTL + 2); {
	case life > 0:
		at.TTL = uint32((life - 1) / 2)
		if (life-1)%2 != 0 {
			at.Version = 6
		}
	case len(before) > 0:
		last := before[len(before)-1]
		at.TTL, at.Version = last.TTL, last.Version
	default:
		p.fail(ErrReference)
	}
	at.Addr = p.addr(at.Version)
	return at
}
