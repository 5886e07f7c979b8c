package names

import (
	"math/bits"

	"flowsensor/internal/flow"
)

// none is the number of no entry.
const none int32 = -1

// maxChances bounds how far the search for an unused entry goes.
const maxChances = 16

// key is what a flow asks by.
type key struct {
	scope                        uint64
	client, server               flow.Addr
	clientVersion, serverVersion uint8
}

// entry is one answer, without pointers: the garbage collector does not look at a million of them.
type entry struct {
	key         key
	time, until int64 // when it holds, both included
	hash        uint32
	name        uint32
	group       uint32
	chain       int32 // the next entry of the bucket, or the next free one
	links       [listKinds]link
	used        bool // since it came to the new end of its lists
}

// table is a shard's entries: found by hash, listed by use, all together and by group.
type table struct {
	limit, groupLimit int

	entries []entry
	buckets []int32
	free    int32
	all     list
	groups  []list
	names   interned
	stats   Stats
}

func newTable(limit, groupLimit int) table {
	t := table{
		limit: limit, groupLimit: groupLimit, free: none, all: emptyList, names: newInterned(),
		buckets: make([]int32, 1<<bits.Len(uint(limit-1))), groups: make([]list, groupCount),
	}
	for i := range t.buckets {
		t.buckets[i] = none
	}
	for i := range t.groups {
		t.groups[i] = emptyList
	}
	return t
}

func (t *table) bucket(hash uint32) *int32 { return &t.buckets[hash&uint32(len(t.buckets)-1)] }

// answer is what there is to remember of a key.
type answer struct {
	name        string
	time, until int64
}

// add remembers an answer: it prolongs an entry of the same name where no other name came in between, or makes a new one.
func (t *table) add(k key, hash uint32, group uint32, a answer) {
	t.stats.Added++
	before, after, oldest, n := t.neighbours(k, hash, a.time)
	if before != none && a.time <= t.entries[before].until && t.name(before) == a.name {
		t.entries[before].until = max(t.entries[before].until, a.until)
		t.renew(before)
		return
	}
	if after != none && a.until >= t.entries[after].time && t.name(after) == a.name {
		t.entries[after].time = a.time
		t.entries[after].until = max(t.entries[after].until, a.until)
		t.renew(after)
		return
	}
	if n >= maxPerKey {
		t.stats.Displaced++
		t.remove(oldest)
	}
	t.makeRoom(group)
	t.insert(k, hash, group, a)
}

func (t *table) name(i int32) string { return t.names.texts[t.entries[i].name] }

func (t *table) renew(i int32) {
	t.stats.Renewed++
	t.touch(i)
}

// neighbours gives the entries of a key that begin next to a time, the one that begins first, and how many there are.
func (t *table) neighbours(k key, hash uint32, at int64) (before, after, oldest int32, n int) {
	before, after, oldest = none, none, none
	for i := *t.bucket(hash); i != none; i = t.entries[i].chain {
		e := &t.entries[i]
		if e.hash != hash || e.key != k {
			continue
		}
		n++
		if oldest == none || e.time < t.entries[oldest].time {
			oldest = i
		}
		if e.time <= at {
			if before == none || e.time >= t.entries[before].time {
				before = i
			}
		} else if after == none || e.time < t.entries[after].time {
			after = i
		}
	}
	return before, after, oldest, n
}

// find gives the entry that holds for a flow which begins at a time: the last one from before, otherwise one from just after.
func (t *table) find(k key, hash uint32, first int64) *entry {
	best := none
	for i := *t.bucket(hash); i != none; i = t.entries[i].chain {
		e := &t.entries[i]
		if e.hash != hash || e.key != k || e.until < first || e.time > later(first, int64(lead)) {
			continue
		}
		if best == none || closer(e.time, t.entries[best].time, first) {
			best = i
		}
	}
	if best == none {
		return nil
	}
	t.entries[best].used = true
	return &t.entries[best]
}

// closer reports whether a is the better beginning for a flow: before it rather than after, then the nearer one.
func closer(a, b, first int64) bool {
	if (a <= first) != (b <= first) {
		return a <= first
	}
	if a <= first {
		return a > b
	}
	return a < b
}

// makeRoom lets go of an entry of a full group, or of a full table.
func (t *table) makeRoom(group uint32) {
	if g := &t.groups[group]; int(g.length) >= t.groupLimit {
		t.stats.Crowded++
		t.remove(t.victim(g))
	}
	if int(t.all.length) >= t.limit {
		t.stats.Evicted++
		t.remove(t.victim(&t.all))
	}
}

// victim gives the oldest entry of a list that was not used since it came to the new end, where the others go again. A
// lookup only leaves a mark, since moving an entry in two lists would cost it four cache lines more.
func (t *table) victim(l *list) int32 {
	for range maxChances {
		e := &t.entries[l.oldest]
		if !e.used {
			break
		}
		e.used = false
		t.touch(l.oldest)
	}
	return l.oldest
}

func (t *table) insert(k key, hash uint32, group uint32, a answer) {
	i := t.free
	if i == none {
		i = int32(len(t.entries))
		t.entries = append(t.entries, entry{})
	} else {
		t.free = t.entries[i].chain
	}
	head := t.bucket(hash)
	t.entries[i] = entry{key: k, time: a.time, until: a.until, hash: hash, name: t.names.take(a.name), group: group, chain: *head}
	*head = i
	t.push(i)
}

func (t *table) remove(i int32) {
	e := &t.entries[i]
	t.unlink(i)
	at := t.bucket(e.hash)
	for *at != i {
		at = &t.entries[*at].chain
	}
	*at = e.chain
	t.names.drop(e.name)
	e.chain, t.free = t.free, i
}
