package wire

import (
	"math"

	"flowsensor/internal/flow"
)

// The body of a Flows datagram, coding 0. Fixed numbers are big endian, the others varints: seven bits an octet, lowest
// first, never longer than need be; "signed" ones are zigzag.
//
//	coding      1 octet
//	boot        8 octets: of the process that gave the batch its seq, an earlier one than the header's after a restart
//	seq         6 octets
//	floor       2 octets: seq less floor
//	base        8 octets
//	interfaces  number of them, then for each: ifIndex, length of the name, name; in the order of first use
//	records     number of them, 1 to MaxRecords
//	columns     one after the other, without a length: each holds, record by record, what the columns before it call for
//
// The numbers have a fixed width because they come last: the room for them must be known while records are added, and a
// resend has a new floor (Renumber).
//
// Nothing is sent twice that an earlier record of the batch has: distances count back from the record itself.
//
//	shape       2*distance + paired; distance 0: a new shape follows (see shape); paired: 2*distance + reversed follows
//	addresses   unless paired: source and destination (see addressNew)
//	ports       unless paired: 2*lower + (1 when the source's is the lower), then the higher one in 2 octets
//	routes      when the shape has one: distance; 0: next hop as in addresses, out_if, source mask, destination mask, sampling
//	            and source AS, destination AS when the shape has them
//	last        signed, us: to the pair's last, otherwise to the previous record's (to 0 for the first record)
//	duration    us from first to last; signed, to the pair's duration, when paired
//	packets
//	bytes
//
// A record is paired with an earlier one that has the same addresses and ports, in the same or the reversed order: the
// other half of a conversation, mostly.
const codingPlain = 0

// Bounds of a flows body.
const (
	// MinBody is a limit under which a record may not fit even into an empty batch.
	MinBody = 320
	// MaxRecords is the most records one batch holds.
	MaxRecords = 8192
	// MaxInterfaces is the most interfaces one batch has.
	MaxInterfaces = 256
	// MaxInterfaceName is the longest interface name, in octets.
	MaxInterfaceName = 64

	// MaxOutstanding bounds seq less floor: so many batches of one boot, one after the other, may still be sent.
	MaxOutstanding = 2048
	// MaxSeq is the highest seq.
	MaxSeq = 1<<48 - 1

	// headLen is coding, boot, seq, floor and base.
	headLen = 1 + 8 + 6 + 2 + 8
	// minRecord is the shortest record: two octets of shape for a paired one, an octet of each column from last on.
	minRecord = 6
	// maxMicros bounds times: their nanoseconds fit in 64 bits.
	maxMicros = math.MaxInt64 / 1000
)

// The columns, in the order of the body.
const (
	colShape = iota
	colAddress
	colPort
	colRoute
	colLast
	colDuration
	colPackets
	colBytes
	columns
)

// How an address begins in its column. Each record has two places for addresses, source and destination, that later ones
// refer to.
const (
	addressNew    = iota // of 4 octets: IPv4, and whatever else fits
	addressNew16         // of 16 octets
	addressPrefix        // distance in places to an address with the same upper 8 octets, then the lower 8
	addressKnown         // less 1 less than this: distance in places to the same address
)

// shape is the part of a record that many records share. A new one is coded as: has; version, with hasVersion; proto, tos,
// end reason; with hasTCP the TCP flags, a varint, and the handshake octet; with hasVLAN the four VLAN fields in 2 octets
// each; the number of the interface.
type shape struct {
	version, proto, tos uint8
	endReason           flow.EndReason
	handshake           uint8
	has                 uint8
	tcpFlags            uint16
	iface               uint16 // in the interface table

	keyVLAN, keyVLANInner, vlan, vlanInner flow.VLAN
}

// What a shape has, besides what all have.
const (
	hasIPv6    = 1 << iota // version is 6; without this and hasVersion it is 4
	hasVersion             // a version that is neither: the codec carries what Validate will refuse
	hasTCP
	hasVLAN
	hasRoute
	hasSrcAS
	hasDstAS
	hasEnd
)

// hasRecord are those bits that call for something in a later column.
const hasRecord = hasRoute | hasSrcAS | hasDstAS

func shapeOf(r *flow.Record, iface int) shape {
	s := shape{
		version: r.Version, proto: r.Proto, tos: r.ToS, endReason: r.EndReason, handshake: r.Handshake,
		tcpFlags: r.TCPFlags, iface: uint16(iface),
		keyVLAN: r.Key.VLAN, keyVLANInner: r.Key.VLANInner, vlan: r.VLAN, vlanInner: r.VLANInner,
	}
	switch r.Version {
	case 4:
	case 6:
		s.has = hasIPv6
	default:
		s.has = hasVersion
	}
	if r.TCPFlags != 0 || r.Handshake != 0 {
		s.has |= hasTCP
	}
	if s.keyVLAN|s.keyVLANInner|s.vlan|s.vlanInner != 0 {
		s.has |= hasVLAN
	}
	if routeOf(r) != (route{}) {
		s.has |= hasRoute
	}
	if r.SrcAS != 0 {
		s.has |= hasSrcAS
	}
	if r.DstAS != 0 {
		s.has |= hasDstAS
	}
	return s
}

// route is what a sensor's routing table says of a record, and its sampling rate.
type route struct {
	nextHop          flow.Addr
	outIf, sampling  uint32
	srcMask, dstMask uint8
}

func routeOf(r *flow.Record) route {
	return route{r.NextHop, r.OutIf, r.Sampling, r.SrcMask, r.DstMask}
}

// micros cuts nanoseconds to microseconds, downwards also below zero. The least int64 has none that fit back, and gets
// the ones next to it.
func micros(ns int64) int64 {
	us := ns / 1000
	if us*1000 > ns && us > -maxMicros {
		us--
	}
	return us
}

// narrow reports whether an address is coded in 4 octets.
func narrow(a flow.Addr) bool { return a.Hi == 0 && a.Lo <= math.MaxUint32 }

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
