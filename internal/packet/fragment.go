package packet

import (
	"hash/maphash"
	"math/bits"
	"time"

	"flowsensor/internal/flow"
)

// fragmentWays is how many entries share a bucket, among which the oldest gives way.
const fragmentWays = 4

// fragmentKey is what the fragments of one packet have in common. For IPv6 it is without the protocol: only the first
// fragment's next header counts, later ones may have another (RFC 8200 section 4.5).
type fragmentKey struct {
	src, dst flow.Addr
	id       uint32
	proto    uint8
	version  uint8
}

// fragmentEntry remembers what only a first fragment tells.
type fragmentEntry struct {
	key              fragmentKey
	stamp            int64 // of the first fragment
	srcPort, dstPort uint16
	proto            uint8
}

// fragmentTable is a bounded, set-associative table: no allocation after it is made, no sweep, time only by stamps.
type fragmentTable struct {
	entries []fragmentEntry
	buckets uint64 // a power of two
	timeout int64
	seed    maphash.Seed
}

func newFragmentTable(size int, timeout time.Duration) fragmentTable {
	size = max(size, fragmentWays)
	size = 1 << bits.Len(uint(size-1))
	return fragmentTable{
		entries: make([]fragmentEntry, size),
		buckets: uint64(size / fragmentWays),
		timeout: int64(timeout),
		seed:    maphash.MakeSeed(),
	}
}

func (t *fragmentTable) bucket(k fragmentKey) []fragmentEntry {
	at := maphash.Comparable(t.seed, k) & (t.buckets - 1) * fragmentWays
	return t.entries[at : at+fragmentWays]
}

// live reports whether e may still be joined. A stamp in the future is as far off as one in the past: then the clock was
// stepped.
func (t *fragmentTable) live(e *fragmentEntry, now int64) bool {
	age := now - e.stamp
	return e.key.version != 0 && age < t.timeout && age > -t.timeout
}

// find gives the entry of a packet's first fragment, nil where there is none.
func (t *fragmentTable) find(k fragmentKey, now int64) *fragmentEntry {
	b := t.bucket(k)
	for i := range b {
		if b[i].key == k && t.live(&b[i], now) {
			return &b[i]
		}
	}
	return nil
}

// put stores e, in the place of an earlier entry of its key where there is one: a sender that uses an identification again
// means another packet. It reports whether a live entry of another key had to go.
func (t *fragmentTable) put(e fragmentEntry) (evicted bool) {
	b := t.bucket(e.key)
	victim := &b[0]
	for i := range b {
		at := &b[i]
		if at.key == e.key {
			*at = e
			return false
		}
		if t.live(victim, e.stamp) && (!t.live(at, e.stamp) || at.stamp < victim.stamp) {
			victim = at
		}
	}
	evicted = t.live(victim, e.stamp)
	*victim = e
	return evicted
}

// position is where a packet stands among the fragments of one datagram.
type position uint8

const (
	wholePacket   position = iota
	firstFragment          // the offset is 0 and more follow
	laterFragment          // the offset is not 0: there is no transport header in it
)

type fragment struct {
	id       uint32
	position position
}

// join completes p by its position: a first fragment is remembered with what p holds already, a later one gets what its
// first one had.
func (d *Decoder) join(p *flow.Packet, f fragment) {
	k := fragmentKey{src: p.Src, dst: p.Dst, id: f.id, version: p.Version}
	if p.Version == 4 {
		k.proto = p.Proto
	}
	if f.position == firstFragment {
		e := fragmentEntry{key: k, stamp: p.Time, srcPort: p.SrcPort, dstPort: p.DstPort, proto: p.Proto}
		if d.fragments.put(e) {
			d.counters.note(NoteFragmentEvicted)
		}
		return
	}
	e := d.fragments.find(k, p.Time)
	if e == nil {
		d.counters.note(NoteFragmentUnmatched)
		return
	}
	p.SrcPort, p.DstPort, p.Proto = e.srcPort, e.dstPort, e.proto
}
