package wire

import (
	"encoding/binary"

	"flowsensor/internal/flow"
)

// FlowsEncoder collects records into the body of one Flows datagram. It never grows past its limit, whatever sequence
// numbers and stamp the batch is given later. Make it with NewFlowsEncoder; not safe for concurrent use.
type FlowsEncoder struct {
	limit      int
	entries    []entry
	interfaces interfaceTable
	columns    [columns][]byte
	latest     latest
}

// entry is an added record, as far as later ones may refer to it.
type entry struct {
	src, dst         flow.Addr
	srcPort, dstPort uint16
	shape            shape
	route            route
	last, duration   int64 // us
}

// NewFlowsEncoder makes an encoder for bodies of at most limit octets: seal.MaxPlaintext less HeaderLen, and not under
// MinBody.
func NewFlowsEncoder(limit int) *FlowsEncoder { return &FlowsEncoder{limit: limit} }

// Len is the number of records added.
func (e *FlowsEncoder) Len() int { return len(e.entries) }

// Size is the length of the body in octets: what AppendBody will append, exactly.
func (e *FlowsEncoder) Size() int {
	n := headLen + e.interfaces.size() + uvarintLen(uint64(len(e.entries)))
	for i := range e.columns {
		n += len(e.columns[i])
	}
	return n
}

// Reset empties the encoder for the next batch and keeps its memory.
func (e *FlowsEncoder) Reset() {
	e.entries = e.entries[:0]
	e.interfaces.reset()
	for i := range e.columns {
		e.columns[i] = e.columns[i][:0]
	}
}

// AppendBody appends the body. The batch must not be empty, and the numbers must be what Numbers asks for: a parser
// refuses others. It may be called again, with other numbers, until Reset.
func (e *FlowsEncoder) AppendBody(dst []byte, n Numbers) []byte {
	dst = n.append(dst)
	dst = e.interfaces.append(dst)
	dst = binary.AppendUvarint(dst, uint64(len(e.entries)))
	for i := range e.columns {
		dst = append(dst, e.columns[i]...)
	}
	return dst
}

// Add takes a record and the name of its input interface ("" when it has none) and reports whether it fitted. False
// means full: nothing was added, and the record belongs into the next batch. It also says full when the interface
// already stands in the batch under another name. The times are cut to whole microseconds, downwards; a name that a
// parser would refuse is made fit.
func (e *FlowsEncoder) Add(r *flow.Record, iface string) bool {
	if len(e.entries) == MaxRecords {
		return false
	}
	named := e.interfaces.mark()
	number, ok := e.interfaces.number(r.IfIndex, iface)
	if !ok {
		return false
	}
	var lengths [columns]int
	for i := range e.columns {
		lengths[i] = len(e.columns[i])
	}
	last := micros(r.Last)
	e.entries = append(e.entries, entry{
		src: r.Src, dst: r.Dst, srcPort: r.SrcPort, dstPort: r.DstPort,
		shape: shapeOf(r, number), route: routeOf(r), last: last, duration: last - micros(r.First),
	})
	e.appendRecord(r)
	if e.Size() <= e.limit {
		return true
	}
	e.entries = e.entries[:len(e.entries)-1]
	e.interfaces.back(named)
	for i := range e.columns {
		e.columns[i] = e.columns[i][:lengths[i]]
	}
	return false
}

// appendRecord appends to the columns what they hold of the newest entry.
func (e *FlowsEncoder) appendRecord(r *flow.Record) {
	i := len(e.entries) - 1
	now := &e.entries[i]
	pair := e.latest.pair(e.entries)
	e.appendShape(now, pair)
	for side, a := range [...]flow.Addr{now.src, now.dst} {
		if pair < 0 {
			e.appendAddress(colAddress, a, 2*i+side)
		}
		e.latest.note(a, 2*i+side)
	}
	if pair < 0 {
		e.appendPorts(now.srcPort, now.dstPort)
	}
	e.appendRoute(r, now)
	e.appendTimes(now, pair)
	e.appendNumber(colPackets, r.Packets)
	e.appendNumber(colBytes, r.Bytes)
}

func (e *FlowsEncoder) appendNumber(column int, v uint64) {
	e.columns[column] = binary.AppendUvarint(e.columns[column], v)
}

func (e *FlowsEncoder) appendShape(now *entry, pair int) {
	i := len(e.entries) - 1
	known := e.latest.shape(e.entries)
	distance := uint64(0)
	if known >= 0 {
		distance = uint64(i - known)
	}
	if pair < 0 {
		e.appendNumber(colShape, 2*distance)
	} else {
		e.appendNumber(colShape, 2*distance+1)
		reversed := uint64(0)
		if e.entries[pair].src != now.src || e.entries[pair].srcPort != now.srcPort {
			reversed = 1
		}
		e.appendNumber(colShape, uint64(2*(i-pair))+reversed)
	}
	if known < 0 {
		e.columns[colShape] = now.shape.append(e.columns[colShape])
	}
}

// appendAddress appends an address that stands at a place, or, a next hop, behind the places before it.
func (e *FlowsEncoder) appendAddress(column int, a flow.Addr, place int) {
	col := e.columns[column]
	if known := e.latest.address(e.entries, a, place); known >= 0 {
		col = binary.AppendUvarint(col, uint64(place-known+addressKnown-1))
	} else if narrow(a) {
		col = binary.BigEndian.AppendUint32(append(col, addressNew), uint32(a.Lo))
	} else if known := e.latest.prefix(e.entries, a, place); known >= 0 {
		col = binary.AppendUvarint(append(col, addressPrefix), uint64(place-known))
		col = binary.BigEndian.AppendUint64(col, a.Lo)
	} else {
		col = binary.BigEndian.AppendUint64(append(col, addressNew16), a.Hi)
		col = binary.BigEndian.AppendUint64(col, a.Lo)
	}
	e.columns[column] = col
}

// appendPorts puts the lower port first: the service's, mostly, which is short.
func (e *FlowsEncoder) appendPorts(src, dst uint16) {
	lower, higher, source := dst, src, uint64(0)
	if src < dst {
		lower, higher, source = src, dst, 1
	}
	e.appendNumber(colPort, 2*uint64(lower)+source)
	e.columns[colPort] = binary.BigEndian.AppendUint16(e.columns[colPort], higher)
}

func (e *FlowsEncoder) appendRoute(r *flow.Record, now *entry) {
	i := len(e.entries) - 1
	if now.shape.has&hasRoute != 0 {
		if known := e.latest.route(e.entries); known >= 0 {
			e.appendNumber(colRoute, uint64(i-known))
		} else {
			e.appendNumber(colRoute, 0)
			e.appendAddress(colRoute, r.NextHop, 2*i+2)
			e.appendNumber(colRoute, uint64(r.OutIf))
			e.columns[colRoute] = append(e.columns[colRoute], r.SrcMask, r.DstMask)
			e.appendNumber(colRoute, uint64(r.Sampling))
		}
	}
	if now.shape.has&hasSrcAS != 0 {
		e.appendNumber(colRoute, uint64(r.SrcAS))
	}
	if now.shape.has&hasDstAS != 0 {
		e.appendNumber(colRoute, uint64(r.DstAS))
	}
}

func (e *FlowsEncoder) appendTimes(now *entry, pair int) {
	i := len(e.entries) - 1
	switch {
	case pair >= 0:
		other := &e.entries[pair]
		e.appendNumber(colLast, zigzag(now.last-other.last))
		e.appendNumber(colDuration, zigzag(now.duration-other.duration))
		return
	case i > 0:
		e.appendNumber(colLast, zigzag(now.last-e.entries[i-1].last))
	default:
		e.appendNumber(colLast, zigzag(now.last))
	}
	e.appendNumber(colDuration, uint64(now.duration))
}

// append appends a new shape.
func (s *shape) append(b []byte) []byte {
	b = append(b, s.has)
	if s.has&hasVersion != 0 {
		b = append(b, s.version)
	}
	b = append(b, s.proto, s.tos, byte(s.endReason))
	if s.has&hasTCP != 0 {
		b = append(binary.AppendUvarint(b, uint64(s.tcpFlags)), s.handshake)
	}
	if s.has&hasVLAN != 0 {
		for _, v := range [...]flow.VLAN{s.keyVLAN, s.keyVLANInner, s.vlan, s.vlanInner} {
			b = binary.BigEndian.AppendUint16(b, uint16(v))
		}
	}
	return binary.AppendUvarint(b, uint64(s.iface))
}
