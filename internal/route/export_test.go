package route

import (
	"log/slog"
	"net/netip"
	"syscall"

	"flowsensor/internal/flow"
)

// Detached makes a table without sockets, which hears of nothing but what Feed gives it.
func Detached() *Table {
	t := &Table{log: slog.New(slog.DiscardHandler), links: make(map[int32]uint32), fib: newFIB()}
	t.publish()
	return t
}

// Feed gives the table one message, as if of the kernel.
func (t *Table) Feed(m *syscall.NetlinkMessage) {
	t.apply(m)
	t.publish()
}

// Put adds a route as a full reading does.
func (t *Table) Put(p netip.Prefix, gateway flow.Addr, outIf uint32) {
	t.judge(t.fib.load(route{prefix: p, gateway: gateway, outIf: outIf, leads: true, hops: 1}))
	t.publish()
}

// Change adds a route as a message does.
func (t *Table) Change(p netip.Prefix, outIf uint32, flags uint16) {
	t.judge(t.fib.add(route{prefix: p, outIf: outIf, leads: true, hops: 1}, flags))
	t.publish()
}

// Count counts the routes one by one, and says whether each prefix's stand by metric.
func (t *Table) Count() (n int, ordered bool) {
	ordered = true
	for p, e := range t.trie.Load().All() {
		for ; e != nil; e = e.next {
			n++
			ordered = ordered && e.prefix == p && int(e.mask) == p.Bits()+1 && (e.next == nil || e.metric <= e.next.metric)
		}
	}
	return n, ordered
}

// Wanted gives why a full reading is due, false where none is.
func (t *Table) Wanted() (Reason, bool) { return t.wanted, !t.due.IsZero() }
