package export

import (
	"context"
	"errors"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

// Report has readings delivered as the records are: stamped, acknowledged, spooled. They are not records, and none of the
// amounts of the ledger counts them. It never waits: where the sender is busy the report is skipped and counted, for
// the meters count on and the next report says it all. Safe for concurrent use; readings must not be changed afterwards.
func (s *Sender) Report(readings []flow.Reading) {
	select {
	case s.reports <- readings:
	default:
		s.counters.reportsSkipped.Add(1)
	}
}

// report sends readings, in as many batches as they take.
func (p *packer) report(ctx context.Context, readings []flow.Reading) {
	for _, part := range p.reportParcels(readings) {
		p.counters.reports.Add(1)
		if p.out != nil {
			p.out.offer(part)
			continue
		}
		p.sendOnce(ctx, part)
	}
	if p.out != nil {
		p.out.pump(ctx, time.Now())
	}
}

// sendOnce sends a batch that nothing keeps.
func (p *packer) sendOnce(ctx context.Context, part *parcel) {
	seq := p.seq + 1
	wire.Renumber(part.body, wire.Numbers{
		Boot: p.header.Boot, Seq: seq, Floor: max(seq, floorBehind) - floorBehind + 1, Base: part.base,
	})
	b := batch{kind: part.kind, body: part.body, sum: part.sum}
	reason, err := p.transmit(ctx, p.sealer.Load(), &b)
	p.settle(b, loss{reason, err})
	switch {
	case err == nil:
		p.seq = seq
	case errors.Is(err, errTooBig):
		p.counters.tooBig.Add(1)
		if !p.holds() {
			p.refit() // the next one is made to measure
		}
	}
}

// reportParcels makes batches of readings that are within the path's limit. A group that is divided becomes two points.
func (p *packer) reportParcels(readings []flow.Reading) (parts []*parcel) {
	e := wire.NewReportEncoder(bodyLimit(p.limit, len(p.id)))
	for len(readings) > 0 {
		n := 0
		for n < len(readings) && e.Add(readings[n]) {
			n++
		}
		if e.Len() > 0 {
			base, lead := p.stamps.take(e.Len())
			p.counters.stampLead.Store(int64(lead))
			body := e.AppendBody(make([]byte, 0, e.Size()), wire.Numbers{Boot: p.header.Boot, Base: base})
			parts = append(parts, &parcel{kind: wire.Report, base: base, body: body, index: -1})
		}
		e.Reset()
		readings = readings[max(n, 1):] // any one reading fits where a record does
	}
	return parts
}

// splitReport makes shorter batches of a report that was never sent.
func (p *packer) splitReport(whole *parcel) []*parcel {
	if err := wire.ParseReport(whole.body, &p.again); err != nil {
		p.counters.fail(err)
		return nil
	}
	p.stash()
	p.refit()
	parts := p.reportParcels(p.again.Readings)
	for _, part := range parts {
		part.made = whole.made
	}
	return parts
}
