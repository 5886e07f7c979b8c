package export

import (
	"context"
	"fmt"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

// addAnswer puts a DNS answer into a datagram of its kind, and sends the one that is full.
func (p *packer) addAnswer(ctx context.Context, a *flow.DNSAnswer) {
	if err := a.Validate(); err != nil {
		p.refuseAnswer(InvalidRecord, err)
		return
	}
	if !p.answers.Add(a) {
		p.ship(ctx)
		if !p.answers.Add(a) {
			p.refuseAnswer(MessageSize, errTooLong)
		}
	}
}

// refuseAnswer drops one answer: the collector would refuse all of its datagram, or the path takes none with it.
func (p *packer) refuseAnswer(why Reason, err error) {
	p.counters.dropped[why].add(Amount{Answers: 1})
	p.counters.fail(fmt.Errorf("DNS answer: %w", err))
}

// answersParcel makes a batch of the answers that wait, nil when there are none.
func (p *packer) answersParcel() *parcel {
	if p.answers.Len() == 0 {
		return nil
	}
	base, lead := p.stamps.take(p.answers.Len())
	p.counters.stampLead.Store(int64(lead))
	part := p.dnsParcel(p.answers, base)
	p.answers.Reset()
	return part
}

func (p *packer) dnsParcel(e *wire.DNSEncoder, base int64) *parcel {
	body := e.AppendBody(make([]byte, 0, e.Size()), wire.Numbers{Boot: p.header.Boot, Base: base})
	return &parcel{kind: wire.DNS, base: base, body: body, sum: Amount{Answers: uint64(e.Len())}, index: -1}
}

// splitAnswers makes shorter batches, under the path's limit, of one that was never sent. Each answer keeps its point time.
func (p *packer) splitAnswers(whole *parcel) (parts []*parcel) {
	if err := wire.ParseDNS(whole.body, &p.again); err != nil {
		p.settle(batch{sum: whole.sum}, loss{MessageSize, fmt.Errorf("read back a batch: %w", err)})
		return nil
	}
	p.stash()
	p.refit()
	e := wire.NewDNSEncoder(bodyLimit(p.limit, len(p.id)))
	answers, base := p.again.Answers, p.again.Base
	for len(answers) > 0 {
		n := 0
		for n < len(answers) && e.Add(&answers[n]) {
			n++
		}
		if n == 0 {
			p.refuseAnswer(MessageSize, errTooLong)
			n = 1
		} else {
			part := p.dnsParcel(e, base)
			part.made = whole.made
			parts = append(parts, part)
		}
		e.Reset()
		answers, base = answers[n:], base+int64(n)
	}
	return parts
}
