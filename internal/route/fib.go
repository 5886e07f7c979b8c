package route

import (
	"github.com/gaissmai/bart"
	"golang.org/x/sys/unix"
)

// entry is a route in its place: those of one prefix stand in the order of preference. An entry does not change once it
// can be seen.
type entry struct {
	route
	mask uint8 // prefix length + 1, as in flow.Record
	next *entry
}

// fib is one state of the routes. Changes make a new one that shares nearly all with the old.
type fib struct {
	trie   *bart.Table[*entry]
	routes int
}

func newFIB() fib { return fib{trie: new(bart.Table[*entry])} }

// outcome is what became of a change.
type outcome uint8

const (
	outcomeDone    outcome = iota
	outcomeUnclear         // more than one thing could be meant: what stands now is a guess
	outcomeUnknown         // there is no such route to delete
	outcomeFull            // there is no room for the route
)

// add puts a route in its place, flags being those of the netlink message: in front of the routes of its metric, or
// behind them, or in the place of one.
func (f *fib) add(r route, flags uint16) outcome {
	first, _ := f.trie.Get(r.prefix)
	same, known := 0, false
	for e := first; e != nil; e = e.next {
		if e.metric == r.metric {
			same++
			known = known || e.route == r
		}
	}
	replace := flags&unix.NLM_F_REPLACE != 0 && same > 0
	switch {
	case replace && same == 1:
		f.put(r, first.without(func(e *entry) bool { return e.metric == r.metric }), insertBefore)
		f.routes--
		return outcomeDone
	case known && !replace:
		return outcomeDone
	case f.routes >= MaxRoutes:
		return outcomeFull
	}
	at := insertBefore
	if flags&unix.NLM_F_APPEND != 0 {
		at = insertBehind
	}
	f.put(r, first, at)
	// IPv6 joins routes of one metric into one with several next hops, or does not (ip6_route_add, net/ipv6/route.c).
	if replace || same > 0 && !r.prefix.Addr().Is4() {
		return outcomeUnclear
	}
	return outcomeDone
}

// place says where among the routes of its metric a new one goes.
type place uint8

const (
	insertBefore place = iota
	insertBehind
)

// put gives the prefix the routes of others and r.
func (f *fib) put(r route, others *entry, at place) {
	f.trie = f.trie.InsertPersist(r.prefix, others.with(&entry{route: r, mask: uint8(r.prefix.Bits() + 1)}, at))
	f.routes++
}

// remove takes a route out.
func (f *fib) remove(r route) outcome {
	first, _ := f.trie.Get(r.prefix)
	found := false
	rest := first.without(func(e *entry) bool {
		hit := !found && e.route == r
		found = found || hit
		return hit
	})
	switch {
	case !found:
		return outcomeUnknown
	case rest == nil:
		f.trie = f.trie.DeletePersist(r.prefix)
	default:
		f.trie = f.trie.InsertPersist(r.prefix, rest)
	}
	f.routes--
	return outcomeDone
}

// load puts in a route of a full reading, which comes behind those that came before it. Nobody sees f yet.
func (f *fib) load(r route) outcome {
	if f.routes >= MaxRoutes {
		return outcomeFull
	}
	f.trie.Modify(r.prefix, func(first *entry, _ bool) (*entry, bool) {
		return first.with(&entry{route: r, mask: uint8(r.prefix.Bits() + 1)}, insertBehind), false
	})
	f.routes++
	return outcomeDone
}

// with gives the chain with n in it, by metric. The chain itself stays as it is.
func (e *entry) with(n *entry, at place) *entry {
	if e == nil || n.metric < e.metric || n.metric == e.metric && at == insertBefore {
		n.next = e
		return n
	}
	c := *e
	c.next = e.next.with(n, at)
	return &c
}

// without gives the chain without the entries that are unwanted. The chain itself stays as it is.
func (e *entry) without(unwanted func(*entry) bool) *entry {
	switch {
	case e == nil:
		return nil
	case unwanted(e):
		return e.next.without(unwanted)
	}
	c := *e
	c.next = e.next.without(unwanted)
	return &c
}
