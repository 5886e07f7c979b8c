package flow

import (
	"errors"
	"fmt"
)

// EndReason says why a record left the flow table. The numbers travel on the wire: do not reorder, add at the end.
type EndReason uint8

// The reasons, in the words of the JSON output and the database. The zero value is invalid.
const (
	_           EndReason = iota
	EndIdle               // no packet for the inactive timeout
	EndActive             // the active timeout: the flow goes on
	EndFIN                // a FIN was seen and the linger passed
	EndRST                // a RST was seen and the linger passed
	EndFull               // evicted to make room for another flow
	EndShutdown           // the sensor stopped
	EndEOF                // the capture file ended
	endReasons
)

var endReasonNames = [endReasons]string{"", "idle", "active", "fin", "rst", "full", "shutdown", "eof"}

// Valid reports whether r is one of the named reasons.
func (r EndReason) Valid() bool { return r > 0 && r < endReasons }

func (r EndReason) String() string {
	if r.Valid() {
		return endReasonNames[r]
	}
	return fmt.Sprintf("EndReason(%d)", uint8(r))
}

// Record is one exported flow, or one active-timeout piece of it: pieces of one key add up.
type Record struct {
	Key
	Bytes   uint64 // sum of the packets' IP lengths, octets
	Packets uint64
	First   int64 // first packet's time, ns since the Unix epoch
	Last    int64 // last packet's time, ns since the Unix epoch; never before First

	TCPFlags  uint16    // OR over the packets of this record
	EndReason EndReason // why it was exported
	Handshake uint8     // SawSYN, SawSYNACK; kept over active-timeout pieces

	// VLAN and VLANInner are those of the first packet of the record.
	VLAN, VLANInner VLAN

	// What follows is absent when zero. The sensor's routes and samplers fill it in.
	NextHop      Addr // of the key's IP version
	OutIf        uint32
	SrcAS, DstAS uint32
	Sampling     uint32 // one packet in Sampling was taken
	SrcMask      uint8  // prefix length + 1, 0 when unknown: a default route's length is 0
	DstMask      uint8
}

// Bounds that no honest record passes. They keep what a hostile peer sends from becoming nonsense downstream.
const (
	// MaxTime is the last instant whose nanoseconds fit line protocol's signed 64 bits with room to add to (year 2261).
	MaxTime = int64(9_200_000_000_000_000_000)
	// MaxCount bounds packets and bytes of one record, so that sums of records cannot wrap in a signed 64-bit field.
	MaxCount = uint64(1) << 56
)

// Errors that Validate gives, for errors.Is.
var (
	ErrVersion   = errors.New("IP version is neither 4 nor 6")
	ErrAddress   = errors.New("IPv4 address exceeds 32 bits")
	ErrEndReason = errors.New("end reason is unknown")
	ErrTimes     = errors.New("times out of range or last before first")
	ErrCounts    = errors.New("packets or bytes are zero or beyond bounds")
	ErrMask      = errors.New("mask longer than the address")
)

// Validate refuses a record that no sensor makes. It is what stands between a datagram and the database.
func (r *Record) Validate() error {
	if r.Version != 4 && r.Version != 6 {
		return ErrVersion
	}
	bits := uint8(128)
	if r.Version == 4 {
		bits = 32
		for _, a := range [...]Addr{r.Src, r.Dst, r.NextHop} {
			if a.Hi != 0 || a.Lo > 0xffffffff {
				return ErrAddress
			}
		}
	}
	if r.SrcMask > bits+1 || r.DstMask > bits+1 {
		return ErrMask
	}
	if !r.EndReason.Valid() {
		return ErrEndReason
	}
	if r.First < 0 || r.Last < r.First || r.Last > MaxTime {
		return ErrTimes
	}
	if r.Packets == 0 || r.Packets > MaxCount || r.Bytes > MaxCount {
		return ErrCounts
	}
	return nil
}
