package wire

import (
	"math/bits"

	"flowsensor/internal/flow"
)

// latest remembers where in the batch something was last seen, one record or place a slot: a bounded step for each
// record, whatever the traffic. What shares a slot with something later is forgotten, which costs octets, not
// correctness: what a slot says is looked at before it is believed. So nothing needs to be cleared for the next batch: a
// slot left over from the last one is either wrong, or was written again.
type latest struct {
	addresses [2048]uint16 // places: 2*record, +1 for the destination
	prefixes  [256]uint16  // places
	pairs     [1024]uint16 // records
	shapes    [256]uint16
	routes    [64]uint16
}

// Odd numbers without a pattern (of the golden ratio, of pi), to spread what is multiplied by them over the upper bits.
const (
	spread1 = 0x9e3779b97f4a7c15
	spread2 = 0x243f6a8885a308d3
)

func spread(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^spread1, b^spread2)
	return (hi ^ lo) * spread1
}

func addressSlot(a flow.Addr) uint64 { return spread(a.Hi, a.Lo) >> (64 - 11) }

func prefixSlot(hi uint64) uint64 { return spread(hi, 0) >> (64 - 8) }

// note remembers the address at a place.
func (l *latest) note(a flow.Addr, place int) {
	l.addresses[addressSlot(a)] = uint16(place)
	if !narrow(a) {
		l.prefixes[prefixSlot(a.Hi)] = uint16(place)
	}
}

// address gives a place before the one given that holds a, -1 when none is known.
func (l *latest) address(entries []entry, a flow.Addr, place int) int {
	known := int(l.addresses[addressSlot(a)])
	if known < place && addressAt(entries, known) == a {
		return known
	}
	return -1
}

// prefix gives a place before the one given whose address has the same upper half as a, -1 when none is known.
func (l *latest) prefix(entries []entry, a flow.Addr, place int) int {
	known := int(l.prefixes[prefixSlot(a.Hi)])
	if known < place {
		if other := addressAt(entries, known); other.Hi == a.Hi && !narrow(other) {
			return known
		}
	}
	return -1
}

func addressAt(entries []entry, place int) flow.Addr {
	if place%2 == 0 {
		return entries[place/2].src
	}
	return entries[place/2].dst
}

// pair gives an entry before the newest one with the same addresses and ports in either order, -1 when none is known.
func (l *latest) pair(entries []entry) int {
	now := &entries[len(entries)-1]
	// A sum, so that both directions meet in one slot.
	sum := spread(now.src.Hi^uint64(now.srcPort)<<16, now.src.Lo) + spread(now.dst.Hi^uint64(now.dstPort)<<16, now.dst.Lo)
	slot := &l.pairs[sum*spread1>>(64-10)]
	known := swap(slot, len(entries)-1)
	if known >= len(entries)-1 {
		return -1
	}
	e := &entries[known]
	same := e.src == now.src && e.dst == now.dst && e.srcPort == now.srcPort && e.dstPort == now.dstPort
	reversed := e.src == now.dst && e.dst == now.src && e.srcPort == now.dstPort && e.dstPort == now.srcPort
	if !same && !reversed {
		return -1
	}
	return known
}

// shape gives an entry before the newest one with its shape, -1 when none is known.
func (l *latest) shape(entries []entry) int {
	s := &entries[len(entries)-1].shape
	a := uint64(s.version) | uint64(s.proto)<<8 | uint64(s.tos)<<16 | uint64(s.endReason)<<24 | uint64(s.handshake)<<32 | uint64(s.tcpFlags)<<40 |
		uint64(s.has)<<56
	b := uint64(s.iface)<<48 ^ uint64(s.keyVLAN) ^ uint64(s.keyVLANInner)<<16 ^ uint64(s.vlan)<<24 ^ uint64(s.vlanInner)<<32
	known := swap(&l.shapes[spread(a, b)>>(64-8)], len(entries)-1)
	if known < len(entries)-1 && entries[known].shape == *s {
		return known
	}
	return -1
}

// route gives an entry before the newest one with its route, -1 when none is known.
func (l *latest) route(entries []entry) int {
	r := &entries[len(entries)-1].route
	a := r.nextHop.Hi ^ uint64(r.outIf)<<32 ^ uint64(r.sampling)
	b := r.nextHop.Lo ^ uint64(r.srcMask)<<56 ^ uint64(r.dstMask)<<48
	known := swap(&l.routes[spread(a, b)>>(64-6)], len(entries)-1)
	if known < len(entries)-1 && entries[known].route == *r {
		return known
	}
	return -1
}

// swap writes a record's number into a slot and gives what was there.
func swap(slot *uint16, record int) int {
	before := int(*slot)
	*slot = uint16(record)
	return before
}
