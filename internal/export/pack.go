package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// resizeTries is how often a batch is encoded anew: the path's MTU may go down in steps, one for each narrow link.
const resizeTries = 4

// floorBehind is how far the network may shuffle batches that are sent once.
const floorBehind = 1024

var errTooLong = errors.New("does not fit an empty datagram")

// packer fills datagrams with the records of all workers and gives them to the transmitter. It belongs to the sender's
// goroutine.
type packer struct {
	transmitter

	id     string
	log    *slog.Logger
	sealer atomic.Pointer[seal.Sealer] // set by SetKey from any goroutine
	stamps stamper
	seq    uint64  // of the last batch sent, without acknowledgement
	out    *outbox // nil without acknowledgement

	maxDatagram int // the configuration's, for an IPv4 peer
	limit       int // octets of UDP payload, now
	explained   int // the limit that the log told last of this link
	fitted      time.Time
	encoder     *wire.FlowsEncoder
	sum         Amount // of the records in encoder
	answers     *wire.DNSEncoder
	body        []byte
	again       flow.Batch // a batch to encode anew
}

// pack puts the records of a chunk into datagrams and sends those that are full.
func (p *packer) pack(ctx context.Context, c *chunk) {
	for i := range c.records {
		p.add(ctx, &c.records[i], c.iface)
	}
	for i := range c.answers {
		p.addAnswer(ctx, &c.answers[i])
	}
}

func (p *packer) add(ctx context.Context, r *flow.Record, iface string) {
	if err := r.Validate(); err != nil {
		p.refuse(r, err)
		return
	}
	if !p.encoder.Add(r, iface) {
		p.ship(ctx)
		if !p.encoder.Add(r, iface) {
			p.refuse(r, errTooLong)
			return
		}
	}
	p.sum = p.sum.Plus(amountOf(r))
}

// refuse drops one record: the collector would refuse all of its datagram.
func (p *packer) refuse(r *flow.Record, err error) {
	p.counters.dropped[InvalidRecord].add(amountOf(r))
	p.counters.fail(fmt.Errorf("record: %w", err))
}

func amountOf(r *flow.Record) Amount { return Amount{Records: 1, Packets: r.Packets, Bytes: r.Bytes} }

// holds reports whether anything waits for its datagram to fill.
func (p *packer) holds() bool { return p.encoder.Len()+p.answers.Len() > 0 }

// ship sends what is in the encoders, if anything, and counts it as sent or lost.
func (p *packer) ship(ctx context.Context) {
	if !p.holds() {
		return
	}
	if p.out != nil {
		p.stash()
		p.out.pump(ctx, time.Now())
		return
	}
	if answers := p.answersParcel(); answers != nil {
		defer p.sendOnce(ctx, answers) // when the other encoder is empty, too, since it may have to be made anew
	}
	p.shipRecords(ctx)
}

func (p *packer) shipRecords(ctx context.Context) {
	if p.encoder.Len() == 0 {
		return
	}
	b, l := p.send(ctx)
	if errors.Is(l.cause, errTooBig) {
		p.resize(ctx, b)
		return
	}
	p.settle(b, l)
}

// stash makes batches of what is in the encoders and gives them to the outbox, which sends them when it may.
func (p *packer) stash() {
	if answers := p.answersParcel(); answers != nil {
		p.out.offer(answers)
	}
	if p.encoder.Len() == 0 {
		return
	}
	base, lead := p.stamps.take(p.encoder.Len())
	p.counters.stampLead.Store(int64(lead))
	p.out.offer(p.parcel(p.encoder, base, p.sum))
	p.encoder.Reset()
	p.sum = Amount{}
}

// parcel makes a batch that is kept.
func (p *packer) parcel(e *wire.FlowsEncoder, base int64, sum Amount) *parcel {
	body := e.AppendBody(make([]byte, 0, e.Size()), wire.Numbers{Boot: p.header.Boot, Base: base})
	return &parcel{kind: wire.Flows, base: base, body: body, sum: sum, index: -1}
}

// split makes shorter batches, under the path's limit, of one that was never sent. Each record keeps its point time.
func (p *packer) split(whole *parcel) (parts []*parcel) {
	if whole.kind == wire.Report {
		return p.splitReport(whole)
	}
	if whole.kind == wire.DNS {
		return p.splitAnswers(whole)
	}
	if err := wire.ParseFlows(whole.body, &p.again); err != nil {
		p.settle(batch{sum: whole.sum}, loss{MessageSize, fmt.Errorf("read back a batch: %w", err)})
		return nil
	}
	p.stash()
	p.refit()
	e := wire.NewFlowsEncoder(bodyLimit(p.limit, len(p.id)))
	records, base := p.again.Records, p.again.Base
	for len(records) > 0 {
		n, sum := 0, Amount{}
		for n < len(records) && e.Add(&records[n], p.again.InterfaceName(records[n].IfIndex)) {
			sum = sum.Plus(amountOf(&records[n]))
			n++
		}
		if n == 0 {
			p.refuse(&records[0], errTooLong)
			n = 1
		} else {
			part := p.parcel(e, base, sum)
			part.made = whole.made
			parts = append(parts, part)
		}
		e.Reset()
		records, base = records[n:], base+int64(n)
	}
	return parts
}

// loss is why a batch was not sent; the zero value says that it was.
type loss struct {
	reason Reason
	cause  error
}

// send makes a batch of the records in the encoder, empties that and transmits.
//
// Nothing keeps the batch: its number and its tx go up together. It is never sent again, but it may be overtaken by
// those after it, so that floor, the lowest number that may still come, stays behind.
func (p *packer) send(ctx context.Context) (batch, loss) {
	base, lead := p.stamps.take(p.encoder.Len())
	p.counters.stampLead.Store(int64(lead))
	seq := p.seq + 1
	p.body = p.encoder.AppendBody(p.body[:0], wire.Numbers{
		Boot: p.header.Boot, Seq: seq, Floor: max(seq, floorBehind) - floorBehind + 1, Base: base,
	})
	b := batch{kind: wire.Flows, body: p.body, sum: p.sum}
	p.encoder.Reset()
	p.sum = Amount{}
	reason, err := p.transmit(ctx, p.sealer.Load(), &b)
	if err == nil {
		p.seq = seq
	}
	return b, loss{reason, err}
}

func (p *packer) settle(b batch, l loss) {
	if l.cause == nil {
		p.counters.sent.add(b.sum)
		return
	}
	reason := l.reason
	if errors.Is(l.cause, errTooBig) {
		reason = MessageSize
	}
	p.counters.dropped[reason].add(b.sum)
	p.counters.fail(l.cause)
}

// resize encodes a batch anew that was too long for the path, under the path's limit, and sends it. It never left, so
// its number is free again; its stamps are not, which costs nothing.
func (p *packer) resize(ctx context.Context, b batch) {
	p.counters.tooBig.Add(1)
	if err := wire.ParseFlows(b.body, &p.again); err != nil {
		p.settle(b, loss{MessageSize, fmt.Errorf("read back a batch: %w", err)})
		return
	}
	p.refit()
	records, tries := p.again.Records, 0
	for len(records) > 0 {
		n := 0
		for n < len(records) && p.encoder.Add(&records[n], p.again.InterfaceName(records[n].IfIndex)) {
			p.sum = p.sum.Plus(amountOf(&records[n]))
			n++
		}
		if n == 0 {
			p.refuse(&records[0], errTooLong)
			records = records[1:]
			continue
		}
		part, l := p.send(ctx)
		if errors.Is(l.cause, errTooBig) && tries < resizeTries {
			p.counters.tooBig.Add(1)
			p.refit()
			tries++
			continue
		}
		p.settle(part, l)
		records = records[n:]
	}
}

// refit takes the path's limit after a datagram was too long for it, and explains each limit once on a link.
func (p *packer) refit() {
	was := p.limit
	p.fit()
	if p.limit == was || p.limit == p.explained {
		return
	}
	p.explained = p.limit
	p.log.Warn("datagrams are made shorter, the path to the collector takes no longer ones",
		"remote", p.link.Remote, "path_mtu", p.link.payloadLimit()+p.link.headers, "max_datagram", p.limit, "was", was)
}

// fit sets the length of datagrams to what the configuration, the address family and the path allow, but not below what
// one record needs. The encoders must be empty.
func (p *packer) fit() {
	limit := p.maxDatagram - (p.link.headers - headersV4)
	limit = max(min(limit, p.link.payloadLimit()), leastDatagram(len(p.id)))
	if limit == p.limit {
		return
	}
	p.limit = limit
	p.encoder = wire.NewFlowsEncoder(bodyLimit(limit, len(p.id)))
	p.answers = wire.NewDNSEncoder(bodyLimit(limit, len(p.id)))
	p.counters.maxDatagram.Store(int64(limit))
}
