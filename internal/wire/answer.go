package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// The body of an Ack datagram, coding 0: what a collector says of what it has heard. Its header has the collector's
// boot and tx. Fixed numbers are big endian, the others varints as in a flows body.
//
//	coding     1 octet
//	has        1 octet: what follows of the optional fields
//	boot       8 octets: the sensor's
//	tx         8 octets: the highest of that boot
//	collector  length, id
//	time       8 octets, ns since the Unix epoch
//	acks       boot, 8 octets, unless it is the one above; upto; length of the bitmap, bitmap
//	refusals   number of them, then for each: reason, 1 octet; tx, 8 octets; clock alone: the offset, signed, us
const (
	hasTime = 1 << iota
	hasAcks
	hasOtherBoot
	hasRefusals
	hasAnswerEnd
)

// Bounds of an answer.
const (
	// MaxRefusals is the most refusals in one answer.
	MaxRefusals = 16
	// maxAckBits is the longest bitmap, in octets.
	maxAckBits = MaxOutstanding / 8
)

// RefusalReason says why a datagram of flows was not taken. The numbers travel: do not reorder, add at the end.
type RefusalReason uint8

// The reasons. The zero value is invalid.
const (
	_               RefusalReason = iota
	RefusedParse                  // the body cannot be parsed
	RefusedValidate               // a record is one that no sensor makes
	RefusedVersion                // the coding is of a version that is not spoken there
	RefusedClock                  // the token's stamp is too far off; Offset says how far
	RefusedFull                   // there is no room at the moment
	refusalReasons
)

var refusalNames = [refusalReasons]string{"", "parse", "validate", "version", "clock", "full"}

// Valid reports whether r is one of the named reasons.
func (r RefusalReason) Valid() bool { return r > 0 && r < refusalReasons }

// Permanent reports whether the same batch would be refused again whenever it comes.
func (r RefusalReason) Permanent() bool {
	return r == RefusedParse || r == RefusedValidate || r == RefusedVersion
}

func (r RefusalReason) String() string {
	if r.Valid() {
		return refusalNames[r]
	}
	return fmt.Sprintf("RefusalReason(%d)", uint8(r))
}

// Refusal tells of one datagram that was not taken.
type Refusal struct {
	Reason RefusalReason
	TX     uint64        // of the datagram, within Answer.Boot
	Offset time.Duration // clock alone: the sensor's clock minus the collector's
}

// Acks are the batches of one boot that are durable. The zero value names none.
type Acks struct {
	Boot uint64 // of the batches: an earlier one than the answer's for batches of a sensor that was restarted since
	Upto uint64 // every batch with a lower or the same seq is durable or was given up by the sensor
	// Bits tells of the batches above: bit i of octet n stands for Upto + 1 + 8n + i. The last octet is not zero.
	Bits []byte
}

// Each calls f with each seq that a bit stands for.
func (a *Acks) Each(f func(seq uint64)) {
	for n, octet := range a.Bits {
		for ; octet != 0; octet &= octet - 1 {
			f(a.Upto + 1 + uint64(8*n+bits.TrailingZeros8(octet)))
		}
	}
}

// Highest is the highest seq that is named.
func (a *Acks) Highest() uint64 {
	if len(a.Bits) == 0 {
		return a.Upto
	}
	last := len(a.Bits) - 1
	return a.Upto + uint64(8*last+bits.Len8(a.Bits[last]))
}

// Answer is the body of an Ack datagram.
type Answer struct {
	Boot uint64 // the sensor's start, from the header of what is answered
	TX   uint64 // the highest tx heard of Boot; the probe's, in the answer to one
	// Collector names who answers, "" when it has no name.
	Collector string
	// Time is the collector's clock, ns since the Unix epoch, in the answer to a probe; 0 in others.
	Time     int64
	HasAcks  bool
	Acks     Acks
	Refusals []Refusal
}

// AppendAnswer appends the body, of at most limit octets: the bitmap is cut as far as need be, for the next answer will
// tell the rest. It appends nothing and reports false where even that is too long.
func AppendAnswer(dst []byte, a *Answer, limit int) ([]byte, bool) {
	has, ackBits := a.has(), []byte(nil)
	if a.HasAcks {
		ackBits = a.Acks.Bits[:min(len(a.Acks.Bits), maxAckBits)]
	}
	begin := len(dst)
	for {
		ackBits = trimZeros(ackBits)
		dst = a.append(dst[:begin], has, ackBits)
		over := len(dst) - begin - limit
		if over <= 0 {
			return dst, true
		}
		if len(ackBits) == 0 {
			return dst[:begin], false
		}
		ackBits = ackBits[:max(len(ackBits)-over, 0)]
	}
}

func (a *Answer) has() (has uint8) {
	if a.Time != 0 {
		has |= hasTime
	}
	if a.HasAcks {
		has |= hasAcks
		if a.Acks.Boot != a.Boot {
			has |= hasOtherBoot
		}
	}
	if len(a.Refusals) > 0 {
		has |= hasRefusals
	}
	return has
}

func (a *Answer) append(dst []byte, has uint8, ackBits []byte) []byte {
	dst = append(dst, codingPlain, has)
	dst = binary.BigEndian.AppendUint64(dst, a.Boot)
	dst = binary.BigEndian.AppendUint64(dst, a.TX)
	dst = append(append(dst, byte(len(a.Collector))), a.Collector...)
	if has&hasTime != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(a.Time))
	}
	if has&hasOtherBoot != 0 {
		dst = binary.BigEndian.AppendUint64(dst, a.Acks.Boot)
	}
	if has&hasAcks != 0 {
		dst = binary.AppendUvarint(dst, a.Acks.Upto)
		dst = append(binary.AppendUvarint(dst, uint64(len(ackBits))), ackBits...)
	}
	if has&hasRefusals == 0 {
		return dst
	}
	refusals := a.Refusals[:min(len(a.Refusals), MaxRefusals)]
	dst = append(dst, byte(len(refusals)))
	for _, r := range refusals {
		dst = append(dst, byte(r.Reason))
		dst = binary.BigEndian.AppendUint64(dst, r.TX)
		if r.Reason == RefusedClock {
			dst = binary.AppendUvarint(dst, zigzag(r.Offset.Microseconds()))
		}
	}
	return dst
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// ParseAnswer parses the body of an Ack datagram. The bitmap is a part of body. All or nothing: with an error the answer
// is the zero one.
func ParseAnswer(body []byte) (Answer, error) {
	p := reader{rest: body}
	var a Answer
	if p.octet() != codingPlain {
		p.fail(ErrCoding)
	}
	has := p.octet()
	if has >= hasAnswerEnd || has&(hasAcks|hasOtherBoot) == hasOtherBoot {
		p.fail(ErrCoding)
	}
	a.Boot, a.TX = p.uint64(), p.uint64()
	if name := p.take(int(p.octet())); len(name) > 0 && !validID(name) {
		p.fail(ErrID)
	} else {
		a.Collector = string(name)
	}
	if has&hasTime != 0 {
		a.Time = p.answerTime()
	}
	if has&hasAcks != 0 {
		a.HasAcks = true
		p.acks(&a, has)
	}
	if has&hasRefusals != 0 {
		p.refusals(&a)
	}
	if len(p.rest) > 0 {
		p.fail(ErrTrailing)
	}
	if p.err != nil {
		return Answer{}, p.err
	}
	return a, nil
}

func (r *reader) answerTime() int64 {
	t := r.uint64()
	if t == 0 || t > maxMicros*1000 {
		r.fail(ErrValue)
	}
	return int64(t)
}

func (r *reader) acks(a *Answer, has uint8) {
	a.Acks.Boot = a.Boot
	if has&hasOtherBoot != 0 {
		if a.Acks.Boot = r.uint64(); a.Acks.Boot == a.Boot {
			r.fail(ErrValue)
		}
	}
	a.Acks.Upto = r.upTo(MaxSeq)
	a.Acks.Bits = r.take(int(r.upTo(maxAckBits)))
	if n := len(a.Acks.Bits); n > 0 && a.Acks.Bits[n-1] == 0 || a.Acks.Highest() > MaxSeq {
		r.fail(ErrValue)
	}
}

func (r *reader) refusals(a *Answer) {
	n := r.octet()
	if n == 0 || n > MaxRefusals {
		r.fail(ErrCount)
		return
	}
	for range n {
		f := Refusal{Reason: RefusalReason(r.octet()), TX: r.uint64()}
		if f.Reason == RefusedClock {
			us := r.signed()
			if us > maxMicros || us < -maxMicros {
				r.fail(ErrValue)
			}
			f.Offset = time.Duration(us) * time.Microsecond
		}
		if !f.Reason.Valid() {
			r.fail(ErrRefusal)
		}
		if r.err != nil {
			return
		}
		a.Refusals = append(a.Refusals, f)
	}
}
