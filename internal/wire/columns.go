package wire

import (
	"math"

	"flowsensor/internal/flow"
)

// shapes reads the column of shapes and pairs, and makes everything else of every record zero.
func (p *parser) shapes() bool {
	for i := range p.records {
		r := &p.records[i]
		token := p.upTo(2*MaxRecords + 1)
		link := uint64(0)
		if token&1 != 0 {
			link = p.upTo(2*MaxRecords + 1)
			if link < 2 || link>>1 > uint64(i) {
				p.fail(ErrReference)
				return false
			}
		}
		distance := int(token >> 1)
		switch {
		case distance == 0:
			p.newShape(r)
		case distance > i:
			p.fail(ErrReference)
		default:
			copyShape(r, &p.records[i-distance])
		}
		if p.err != nil {
			return false
		}
		r.Bytes |= link << pairShift
	}
	if p.used != len(p.ifaces) {
		p.fail(ErrInterface)
	}
	return p.err == nil
}

// copyShape makes r a record with the shape of from and nothing else.
func copyShape(r, from *flow.Record) {
	*r = flow.Record{
		Key: flow.Key{
			IfIndex: from.IfIndex, VLAN: from.Key.VLAN, VLANInner: from.Key.VLANInner, Proto: from.Proto, ToS: from.ToS, Version: from.Version,
		},
		Bytes: from.Bytes & (1<<pairShift - 1), TCPFlags: from.TCPFlags, EndReason: from.EndReason, Handshake: from.Handshake,
		VLAN: from.VLAN, VLANInner: from.VLANInner,
	}
}

// newShape reads a shape into r, and makes the rest of r zero.
func (p *parser) newShape(r *flow.Record) {
	has := p.octet()
	*r = flow.Record{Bytes: uint64(has & hasRecord)}
	r.Version = 4
	switch {
	case has&hasIPv6 != 0:
		r.Version = 6
	case has&hasVersion != 0:
		r.Version = p.octet()
	}
	r.Proto, r.ToS, r.EndReason = p.octet(), p.octet(), flow.EndReason(p.octet())
	if has&hasTCP != 0 {
		r.TCPFlags = uint16(p.upTo(math.MaxUint16))
		r.Handshake = p.octet()
	}
	if has&hasVLAN != 0 {
		r.Key.VLAN, r.Key.VLANInner = flow.VLAN(p.uint16()), flow.VLAN(p.uint16())
		r.VLAN, r.VLANInner = flow.VLAN(p.uint16()), flow.VLAN(p.uint16())
	}
	number := p.upTo(MaxInterfaces)
	switch {
	case p.err != nil:
	case has&hasIPv6 != 0 && has&hasVersion != 0 || has >= hasEnd:
		p.fail(ErrValue)
	case number > uint64(p.used) || number >= uint64(len(p.ifaces)):
		p.fail(ErrInterface)
	default:
		p.used = max(p.used, int(number)+1)
		r.IfIndex = p.ifaces[number].Index
	}
}

func (p *parser) addresses() bool {
	for i := range p.records {
		r := &p.records[i]
		switch other, reversed := p.pair(i); {
		case other == nil:
			r.Src = p.address(2 * i)
			r.Dst = p.address(2*i + 1)
			if p.err != nil {
				return false
			}
		case reversed:
			r.Src, r.Dst = other.Dst, other.Src
		default:
			r.Src, r.Dst = other.Src, other.Dst
		}
	}
	return p.err == nil
}

// address reads an address that stands at a place, or behind the places before it.
func (p *parser) address(place int) flow.Addr {
	token := p.uvarint()
	switch token {
	case addressNew:
		return flow.Addr{Lo: uint64(p.uint32())}
	case addressNew16:
		return flow.Addr{Hi: p.uint64(), Lo: p.uint64()}
	case addressPrefix:
		return flow.Addr{Hi: p.addressAt(place, p.uvarint()).Hi, Lo: p.uint64()}
	default:
		return p.addressAt(place, token-addressKnown+1)
	}
}

// addressAt gives the address that stands a distance before a place.
func (p *parser) addressAt(place int, distance uint64) flow.Addr {
	if distance == 0 || distance > uint64(place) {
		p.fail(ErrReference)
		return flow.Addr{}
	}
	at := place - int(distance)
	if at%2 == 0 {
		return p.records[at/2].Src
	}
	return p.records[at/2].Dst
}

func (p *parser) ports() bool {
	for i := range p.records {
		r := &p.records[i]
		switch other, reversed := p.pair(i); {
		case other == nil:
			lower := p.upTo(2*math.MaxUint16 + 1)
			r.SrcPort, r.DstPort = p.uint16(), uint16(lower>>1)
			if lower&1 != 0 {
				r.SrcPort, r.DstPort = r.DstPort, r.SrcPort
			}
			if p.err != nil {
				return false
			}
		case reversed:
			r.SrcPort, r.DstPort = other.DstPort, other.SrcPort
		default:
			r.SrcPort, r.DstPort = other.SrcPort, other.DstPort
		}
	}
	return p.err == nil
}

func (p *parser) routes() bool {
	for i := range p.records {
		r := &p.records[i]
		has := r.Bytes & hasRecord
		if has == 0 {
			continue
		}
		if has&hasRoute != 0 {
			p.route(i)
		}
		if has&hasSrcAS != 0 {
			r.SrcAS = uint32(p.upTo(math.MaxUint32))
		}
		if has&hasDstAS != 0 {
			r.DstAS = uint32(p.upTo(math.MaxUint32))
		}
		if p.err != nil {
			return false
		}
	}
	return p.err == nil
}

func (p *parser) route(i int) {
	r := &p.records[i]
	distance := p.uvarint()
	if distance > uint64(i) {
		p.fail(ErrReference)
		return
	}
	if distance > 0 {
		from := &p.records[i-int(distance)]
		r.NextHop, r.OutIf, r.SrcMask, r.DstMask, r.Sampling = from.NextHop, from.OutIf, from.SrcMask, from.DstMask, from.Sampling
		return
	}
	r.NextHop = p.address(2*i + 2)
	r.OutIf = uint32(p.upTo(math.MaxUint32))
	r.SrcMask, r.DstMask = p.octet(), p.octet()
	r.Sampling = uint32(p.upTo(math.MaxUint32))
}

// times reads two columns. Until both are there, a record's First holds its duration; both fields are microseconds. A
// hostile duration may be anything, and wrap in a sum, but not so far as to come out within bounds.
func (p *parser) times() bool {
	before := int64(0)
	for i := range p.records {
		r := &p.records[i]
		if other, _ := p.pair(i); other != nil {
			before = other.Last
		}
		r.Last = p.within(before + p.signed())
		before = r.Last
	}
	for i := range p.records {
		r := &p.records[i]
		if other, _ := p.pair(i); other != nil {
			r.First = other.First + p.signed()
		} else {
			r.First = int64(p.uvarint())
		}
		if p.err != nil {
			return false
		}
	}
	for i := range p.records {
		r := &p.records[i]
		r.First, r.Last = p.within(r.Last-r.First)*1000, r.Last*1000
	}
	return p.err == nil
}

// within refuses a time whose nanoseconds do not fit in 64 bits.
func (p *parser) within(us int64) int64 {
	if us < -maxMicros || us > maxMicros {
		p.fail(ErrValue)
		return 0
	}
	return us
}

func (p *parser) counts() bool {
	for i := range p.records {
		p.records[i].Packets = p.uvarint()
	}
	for i := range p.records {
		p.records[i].Bytes = p.uvarint()
	}
	return p.err == nil
}
