package wire

import (
	"encoding/binary"

	"flowsensor/internal/flow"
)

// Numbers are what a batch is known by, apart from the sensor. They stand in front of its records.
type Numbers struct {
	Boot uint64 // of the process that gave the batch its Seq
	Seq  uint64 // the batch's identity within Boot, at most MaxSeq
	// Floor is the lowest Seq of Boot that may still be sent: at most Seq, and less than MaxOutstanding below it.
	Floor uint64
	// Base is the time base of the points, not below zero.
	Base int64
}

func (n Numbers) append(dst []byte) []byte {
	dst = append(dst, codingPlain)
	dst = binary.BigEndian.AppendUint64(dst, n.Boot)
	dst = binary.BigEndian.AppendUint16(dst, uint16(n.Seq>>32))
	dst = binary.BigEndian.AppendUint32(dst, uint32(n.Seq))
	dst = binary.BigEndian.AppendUint16(dst, uint16(min(n.Seq-n.Floor, 1<<16-1)))
	return binary.BigEndian.AppendUint64(dst, uint64(n.Base))
}

// Renumber gives the body of a kept batch other numbers: its identity before the first transmission, a new floor before
// each further one.
func Renumber(body []byte, n Numbers) {
	if len(body) >= headLen {
		n.append(body[:0])
	}
}

// numbers reads the coding and the numbers of a batch.
func (r *reader) numbers(b *flow.Batch) {
	if r.octet() != codingPlain {
		r.fail(ErrCoding)
	}
	b.Boot = r.uint64()
	b.Seq = r.uint48()
	span := uint64(r.uint16())
	base := r.uint64()
	switch {
	case r.err != nil:
		return
	case span > b.Seq || span >= MaxOutstanding:
		r.fail(ErrSequence)
	case base > uint64(flow.MaxTime):
		r.fail(ErrBase)
	}
	b.Floor, b.Base = b.Seq-span, int64(base)
}
