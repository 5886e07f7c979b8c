package export

import (
	"time"

	"flowsensor/internal/wire"
)

// parcel is one batch that is kept until it is acknowledged. It belongs to the sender's goroutine, but for its body, which
// the spooler reads and nobody changes.
type parcel struct {
	kind wire.Kind
	base int64  // stamp: what the spool knows it by
	body []byte // nil: in the spool alone
	sum  Amount

	life *life  // that its seq belongs to; nil: never sent
	seq  uint64 // within life

	made  time.Time // when it was packed or loaded
	first time.Time // when it was sent first by this process; zero: not yet
	due   time.Time // when it is sent again
	last  time.Time // when it was sent last
	sends int       // by this process, since the collector was heard last
	index int       // in the outbox's resends, -1 when not there
	txs   []uint64  // the newest of those it went out under

	stored  bool // it is in the spool, or on its way there
	evicted bool // the spool gave it up to make room
	gone    bool // acknowledged or dropped
}

// keepTXs is how many tx of a parcel a refusal may name.
const keepTXs = 8

// life is one process of the sensor, this one or one before it, with its batches that are not acknowledged.
type life struct {
	boot   uint64
	flight map[uint64]*parcel // by seq
	lowest uint64             // no seq in flight is lower
	next   uint64             // no seq in flight is as high
}

func newLife(boot uint64) *life {
	return &life{boot: boot, flight: make(map[uint64]*parcel), lowest: 1, next: 1}
}

// floor is the lowest seq that may still be sent.
func (l *life) floor() uint64 {
	for l.lowest < l.next && l.flight[l.lowest] == nil {
		l.lowest++
	}
	return l.lowest
}

// keep puts a parcel under its seq.
func (l *life) keep(p *parcel, seq uint64) {
	p.life, p.seq = l, seq
	l.flight[seq] = p
	l.next = max(l.next, seq+1)
}

// entry is the parcel as it goes into the spool.
func (p *parcel) entry() spoolEntry {
	e := spoolEntry{kind: p.kind, base: p.base, sum: p.sum, body: p.body}
	if p.life != nil {
		e.boot, e.seq = p.life.boot, p.seq
	}
	return e
}

// resends orders parcels by the time they are due. It is a heap.
type resends []*parcel

func (r resends) Len() int           { return len(r) }
func (r resends) Less(i, j int) bool { return r[i].due.Before(r[j].due) }
func (r resends) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].index, r[j].index = i, j
}

// Push is for package heap.
func (r *resends) Push(x any) {
	p := x.(*parcel)
	p.index = len(*r)
	*r = append(*r, p)
}

// Pop is for package heap.
func (r *resends) Pop() any {
	old := *r
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*r = old[:len(old)-1]
	p.index = -1
	return p
}
