package flowtable

import (
	"math/bits"

	"flowsensor/internal/flow"
)

// laneCount is how many packets go through the table abreast, so that their cache misses overlap. At 1 M flows 16 cost a
// third more, 64 gain nothing; without the prefetches a packet costs four times as much.
const laneCount = 32

// lane is what Account knows of one packet on its way: the words of the key that are packed, its hash, and the entry that
// seems to be its flow's.
type lane struct {
	ports, rest, hash uint64
	ref               uint32
}

// Account counts every packet of batch into its flow, having ended first what is due by the packet's own time. Packets
// may be out of order. now is the time of the call in the same time base: it tells a clock that was set back from a packet
// with an odd stamp. A packet's Packets must be at least 1 and its Bytes below 2^54.
func (t *Table) Account(batch []flow.Packet, now int64) {
	for len(batch) > laneCount {
		t.account(batch[:laneCount], now)
		batch = batch[laneCount:]
	}
	t.account(batch, now)
	t.publish()
}

// account takes up to laneCount packets through three phases; each asks for the memory that the next one needs.
func (t *Table) account(batch []flow.Packet, now int64) {
	lanes := t.lanes[:len(batch)]
	for i := range batch {
		k, l := &batch[i].Key, &lanes[i]
		l.ports, l.rest = tail(k)
		l.hash = t.seeds.hash(k.Src, k.Dst, l.ports, l.rest)
		prefetchBucket(&t.buckets[t.buckets.home(l.hash)])
	}
	misses := 0
	for i := range lanes {
		l := &lanes[i]
		if l.ref = t.buckets.candidate(l.hash); l.ref != none {
			prefetchHot(&t.hot[l.ref])
			continue
		}
		t.anticipate(misses, now)
		misses++
	}
	removed := t.removed
	for i := range batch {
		p, l := &batch[i], &lanes[i]
		t.counts[packets] += uint64(p.Packets)
		t.counts[bytes] += p.Bytes
		// A candidate from before another entry left may be stale.
		if l.ref == none || t.removed != removed || !t.hot[l.ref].is(l, p) {
			l.ref = t.find(l, p)
		}
		switch {
		case l.ref == none:
			t.open(l, p, now)
		case !t.add(&t.hot[l.ref], p):
			t.join(l.ref, p, now)
		}
	}
}

// find gives the entry of a packet's flow, or none.
func (t *Table) find(l *lane, p *flow.Packet) uint32 {
	tag := pattern(l.hash)
	at := t.buckets.home(l.hash)
	for range t.buckets {
		b := &t.buckets[at]
		for m := b.match(tag); m != 0; m &= m - 1 {
			if ref := b.refs[bits.TrailingZeros32(m)]; t.hot[ref].is(l, p) {
				return ref
			}
		}
		if b.overflow == 0 {
			break
		}
		at = t.buckets.after(at)
	}
	return none
}

// add counts p into an entry in the plain case, that of nearly every packet: no timer ran out, no connection ends, nothing
// carries. Otherwise it does nothing and says false.
func (t *Table) add(e *hot, p *flow.Packet) bool {
	sumPackets, sumBytes := uint64(e.packets)+uint64(p.Packets), uint64(e.bytes)+p.Bytes
	if p.Time < e.seen || uint64(p.Time-e.seen) >= t.inactive || t.epoch(p.Time)-uint8(e.rest) >= t.young ||
		e.flags&lingering|p.TCPFlags&(flow.FIN|flow.RST) != 0 || e.packets == 0 || sumPackets>>16|sumBytes>>32 != 0 {
		return false
	}
	e.seen = p.Time
	e.packets, e.bytes = uint16(sumPackets), uint32(sumBytes)
	e.flags |= stateOf(p.TCPFlags)
	return true
}

// join counts p into the entry of its flow in any case, having ended first what is due.
func (t *Table) join(ref uint32, p *flow.Packet, now int64) {
	e, c := &t.hot[ref], &t.cold[ref]
	if p.Time < e.seen {
		t.counts[negativeSpans]++
	}
	reason, gone := t.due(e, c, p.Time)
	switch {
	case e.flags&lingering != 0 && flow.HandshakeOf(p.TCPFlags) == flow.SawSYN:
		reason, gone = lingerReason(e), true
	case reason == 0 && span(c.first, p.Time) >= t.active:
		reason = flow.EndActive
	}
	if reason != 0 {
		t.export(e, c, reason)
	}
	if gone {
		t.counts[created]++
		e.flags = 0
	}
	if empty(e, c) {
		t.begin(e, c, p)
	} else {
		t.place(e, c, p.Time, now)
	}
	t.count(ref, p)
}

// open makes a new entry for p; in a full table another makes room.
func (t *Table) open(l *lane, p *flow.Packet, now int64) {
	if t.live == len(t.hot) {
		t.evict(now)
	}
	if t.live == t.widenAt {
		t.widen()
	}
	ref := t.take()
	e := &t.hot[ref]
	*e = hot{src: p.Src, dst: p.Dst, ports: l.ports, rest: l.rest}
	t.begin(e, &t.cold[ref], p)
	t.dues[ref] = never
	t.count(ref, p)
	t.counts[created]++
	t.counts[longestProbe] = max(t.counts[longestProbe], t.buckets.insert(l.hash, ref))
}

// place takes a packet's time into a record that has other packets.
func (t *Table) place(e *hot, c *cold, at, now int64) {
	if at >= e.seen {
		e.seen = at
		return
	}
	if span(max(at, now), e.seen) > t.horizon {
		// The clock was set back: the flow ages by what it says now, the record keeps its latest packet.
		c.last = max(c.last, e.seen)
		e.seen = at
	}
	if at < c.first {
		c.first = at
		t.date(e, at)
	}
}

// count adds p to the counters of an entry's record, and sees to it that the sweep comes in time.
func (t *Table) count(ref uint32, p *flow.Packet) {
	e, c := &t.hot[ref], &t.cold[ref]
	sumPackets, sumBytes := uint64(e.packets)+uint64(p.Packets), uint64(e.bytes)+p.Bytes
	e.packets, e.bytes = uint16(sumPackets), uint32(sumBytes)
	c.packetsCarry += uint32(sumPackets >> 16)
	c.bytesCarry += uint32(sumBytes >> 32)
	e.flags |= stateOf(p.TCPFlags)
	if nearlyFull(c) {
		t.export(e, c, flow.EndActive)
	}
	t.dues[ref] = min(t.dues[ref], t.next(e, c))
}
