package rollup

import (
	"math/bits"

	"flowsensor/internal/flow"
)

// span is the time that a record is spread over, after what rows cannot say was cut.
type span struct {
	first, last int64
}

// part is what one interval gets of a record.
type part struct {
	interval       int64 // number of the interval since the epoch
	bytes, packets uint64
	flows          uint32
}

// spread appends the parts of a record, ascending and without empty ones. They add up to exactly what the record holds,
// and so does every run of them, taken from another interval that is a multiple: the share up to an instant does not
// depend on the interval.
func spread(parts []part, r *flow.Record, s span, interval int64) []part {
	from, to := s.first/interval, s.last/interval
	if from == to {
		return append(parts, part{interval: from, bytes: r.Bytes, packets: r.Packets, flows: 1})
	}
	bytes := meter{total: r.Bytes}
	packets := meter{total: r.Packets}
	active := uint64(s.last - s.first)
	for ; from < to; from++ {
		passed := uint64((from+1)*interval - s.first)
		p := part{interval: from, bytes: bytes.upTo(passed, active), packets: packets.upTo(passed, active)}
		if p.bytes|p.packets != 0 {
			parts = append(parts, p)
		}
	}
	return append(parts, part{interval: to, bytes: bytes.rest(), packets: packets.rest(), flows: 1})
}

// meter gives a count out in parts.
type meter struct {
	total, given uint64
}

// upTo gives what is due when passed of active has gone by and was not given yet. passed is not more than active.
func (m *meter) upTo(passed, active uint64) uint64 {
	hi, lo := bits.Mul64(m.total, passed)
	due, _ := bits.Div64(hi, lo, active) // not more than total, so it fits
	share := due - m.given
	m.given = due
	return share
}

func (m *meter) rest() uint64 { return m.total - m.given }

// limits is the time that the rows of a window can say.
type limits struct {
	oldest, newest int64
	late           int64 // ends before this are counted as late
}

// cut gives the span of a record, and counts what is unusual with it.
func (l *limits) cut(r *flow.Record, unusual *[reasons]uint64) span {
	s := span{first: r.First, last: r.Last}
	if s.last-s.first > int64(MaxSpan) {
		s.first = s.last - int64(MaxSpan)
		unusual[TooLong]++
	}
	if s.last < l.late {
		unusual[Late]++
	}
	if s.first < l.oldest {
		s.first, s.last = l.oldest, max(s.last, l.oldest)
		unusual[TooLate]++
	}
	if s.last > l.newest {
		s.first, s.last = min(s.first, l.newest), l.newest
		unusual[Ahead]++
	}
	return s
}
