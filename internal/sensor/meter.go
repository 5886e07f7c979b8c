package sensor

import (
	"sync/atomic"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// batchSize is how many packets go to the table at once: enough for their cache misses to overlap, few enough to stay in
// the first-level cache.
const batchSize = 64

// timebase converts packets' stamps into the time in which their table ages.
type timebase interface {
	// convert rewrites the stamps of a batch and gives the present.
	convert(batch []flow.Packet) (now int64)
}

// meter is a metering process (RFC 7011 section 2): frames in, packets accounted in a table or refused with a reason. One
// goroutine owns it; account may be read by any.
type meter struct {
	decoder *packet.Decoder
	table   *flowtable.Table
	time    timebase
	own     *ownTraffic // nil where there is none, as in a file
	split   *splitWatch // nil where no other worker could have a packet of the same flow
	worker  uint8       // of its interface, for split
	names   *nameReader // nil where DNS is not read

	n       int
	batch   [batchSize]flow.Packet
	batches uint64 // that went to the table

	frames, bytes, ownFrames, ownBytes, extra uint64 // of the owner; see publish
	published                                 struct{ frames, bytes, ownFrames, ownBytes, extra atomic.Uint64 }
}

// visit takes one frame. It is the hot path: no lock, no allocation, no clock.
func (m *meter) visit(f *frame.Frame) {
	m.frames++
	p := &m.batch[m.n]
	if m.decoder.Decode(p, f) != packet.OK {
		m.bytes += uint64(f.Len) // what is refused has no IP length that could be trusted
		return
	}
	m.bytes += p.Bytes
	if p.Proto == flow.ProtoUDP && m.own != nil && m.own.is(&p.Key) {
		m.ownFrames++
		m.ownBytes += p.Bytes
		return
	}
	if m.names != nil && p.SrcPort == dnsmsg.Port {
		m.names.visit(p, f)
	}
	m.extra += uint64(p.Packets - 1)
	m.n++
	if m.n == len(m.batch) {
		m.flush()
	}
}

// flush accounts the packets that wait for their batch to fill, and moves the table's sweep on.
func (m *meter) flush() {
	if m.n == 0 {
		return
	}
	batch := m.batch[:m.n]
	if m.split != nil {
		m.split.look(batch, m.worker)
	}
	now := m.time.convert(batch)
	m.published.extra.Store(m.extra) // before the table shows them as accounted: what is in hand never falls below zero
	m.table.Account(batch, now)
	m.table.Expire(batch[len(batch)-1].Time)
	m.n = 0
	m.batches++
}

// publish shows the owner's counters to others, but for extra, which flush does.
func (m *meter) publish() {
	m.published.frames.Store(m.frames)
	m.published.bytes.Store(m.bytes)
	m.published.ownFrames.Store(m.ownFrames)
	m.published.ownBytes.Store(m.ownBytes)
}

// balance adds what the meter published to a ledger.
func (m *meter) balance(l *Ledger) {
	table, refused := m.table.Stats(), m.decoder.Stats()
	l.Packets.Read += m.published.frames.Load()
	l.Bytes.Read += m.published.bytes.Load()
	l.Packets.GSOExtra += m.published.extra.Load()
	l.Packets.Accounted += table.Packets
	l.Bytes.Accounted += table.Bytes
	l.Packets.Exported += table.RecordPackets
	l.Bytes.Exported += table.RecordBytes
	l.Records += table.Records
	l.Flows += table.Flows
	for reason, count := range refused.Refused {
		l.refuse(packet.Reason(reason).String(), count.Frames, count.Octets)
	}
	l.refuse("own_traffic", m.published.ownFrames.Load(), m.published.ownBytes.Load())
	for note, count := range refused.Notes {
		l.note(packet.Note(note).String(), count)
	}
	l.note("negative_span", table.NegativeSpans)
	if m.names != nil {
		m.names.balance(l)
	}
	for reason, count := range table.Emitted {
		if count > 0 {
			l.Ended[flow.EndReason(reason).String()] += count
		}
	}
}
