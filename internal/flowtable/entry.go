package flowtable

import (
	"math"

	"flowsensor/internal/flow"
)

// none is the number of no entry.
const none = math.MaxUint32

// Bits of hot.flags above the twelve TCP flags of the record. They stay while the entry lives, over all its records.
const (
	recordFlags    = uint16(1)<<12 - 1
	handshakeShift = 12 // of the two handshake bits
	sawFIN         = uint16(1) << 14
	sawRST         = uint16(1) << 15
	lingering      = sawFIN | sawRST
)

// hot is the part of an entry that every packet reads and writes: one cache line. The counters are the low bits of the
// record's; what they carry goes to cold.
type hot struct {
	src, dst flow.Addr
	ports    uint64 // see tail
	rest     uint64 // see tail; the low byte is the epoch when the record began
	seen     int64  // time of the flow's last packet; of the latest one where they came out of order
	bytes    uint32
	packets  uint16
	flags    uint16
}

// cold is the part of an entry that a record's first packet, its export and rare carries touch.
type cold struct {
	first        int64 // the record's earliest packet
	last         int64 // the record's latest packet where hot.seen followed a clock backwards, else the minimum
	bytesCarry   uint32
	packetsCarry uint32
	vlan         flow.VLAN // of the record's first packet
	vlanInner    flow.VLAN
	strand       uint32 // which hot.seen the sweep found in the future; 0 for none, see Table.postpone
}

// is reports whether the entry is that of a packet's flow.
func (e *hot) is(l *lane, p *flow.Packet) bool {
	return e.rest^l.rest < 1<<8 && e.ports == l.ports && e.src == p.Src && e.dst == p.Dst
}

// hashOf is the hash of an entry's key.
func (t *Table) hashOf(e *hot) uint64 { return t.seeds.hash(e.src, e.dst, e.ports, e.rest&^0xff) }

// empty reports whether the record in an entry has no packet yet: an active timeout took them, and none came since.
func empty(e *hot, c *cold) bool { return e.packets == 0 && c.packetsCarry == 0 }

// nearlyFull reports whether a record's counters come near flow.MaxCount: 2^46 packets or 2^54 bytes.
func nearlyFull(c *cold) bool { return c.packetsCarry >= 1<<30 || c.bytesCarry >= 1<<22 }

// stateOf is what a packet's TCP flags add to hot.flags.
func stateOf(tcpFlags uint16) uint16 {
	state := tcpFlags&recordFlags | uint16(flow.HandshakeOf(tcpFlags))<<handshakeShift
	return state | tcpFlags&flow.FIN<<14 | tcpFlags&flow.RST<<13
}

// begin makes p the first packet of an entry's record, before it is counted.
func (t *Table) begin(e *hot, c *cold, p *flow.Packet) {
	*c = cold{first: p.Time, last: math.MinInt64, vlan: p.VLAN, vlanInner: p.VLANInner}
	e.seen = p.Time
	t.date(e, p.Time)
}

// date marks in an entry when its record began. An odd stamp may lie further back than epochs reach: there it is enough
// that the record is not young.
func (t *Table) date(e *hot, first int64) {
	if span(first, e.seen) > t.horizon {
		first = e.seen - int64(t.horizon)
	}
	e.rest = e.rest&^0xff | uint64(t.epoch(first))
}

// export emits an entry's record, if it has packets, and empties it.
func (t *Table) export(e *hot, c *cold, reason flow.EndReason) {
	if empty(e, c) {
		return
	}
	r := &t.record
	t.read(r, e, c)
	r.EndReason = reason

	t.counts[records]++
	t.counts[recordPackets] += r.Packets
	t.counts[recordBytes] += r.Bytes
	t.counts[emitted+int(reason)]++
	e.bytes, e.packets, c.bytesCarry, c.packetsCarry = 0, 0, 0, 0
	e.flags &^= recordFlags
	t.emit(r)
}

// read gives an entry's record as it stands, but for the reason to export it.
func (t *Table) read(r *flow.Record, e *hot, c *cold) {
	r.Src, r.Dst = e.src, e.dst
	r.IfIndex, r.SrcPort, r.DstPort = uint32(e.ports>>32), uint16(e.ports>>16), uint16(e.ports)
	r.Key.VLAN, r.Key.VLANInner = flow.VLAN(e.rest>>48), flow.VLAN(e.rest>>32)
	r.Proto, r.ToS, r.Version = uint8(e.rest>>24), uint8(e.rest>>16), uint8(e.rest>>8)
	r.Bytes = uint64(c.bytesCarry)<<32 + uint64(e.bytes)
	r.Packets = uint64(c.packetsCarry)<<16 + uint64(e.packets)
	r.First, r.Last = c.first, max(e.seen, c.last)
	r.TCPFlags = e.flags & recordFlags
	r.Handshake = uint8(e.flags>>handshakeShift) & (flow.SawSYN | flow.SawSYNACK)
	r.VLAN, r.VLANInner = c.vlan, c.vlanInner
}
