package flowtable

import (
	"cmp"
	"slices"

	"flowsensor/internal/flow"
)

// rateFloor is the shortest time that a rate is taken over: a flow of one packet has none.
const rateFloor = 1_000_000_000

// Rated is a flow as it stands in the table: the record that would leave now, and its bytes a second since the record began.
type Rated struct {
	flow.Record
	Rate uint64
}

// Top is one look over a table for the flows with the most bytes a second. Whoever wants to know makes it; the table's owner
// drives it by Look; then it is its maker's again.
type Top struct {
	limit int
	flows []Rated // a heap: no parent has a higher rate than its children
	at    int     // the next entry
}

// NewTop makes a look for that many flows.
func NewTop(limit int) *Top { return &Top{limit: limit, flows: make([]Rated, 0, limit)} }

// Look goes on with a look, over so many entries at most, and reports whether it is through. It reads and changes nothing of the
// table, allocates nothing, and takes some 5 ns an entry. Flows that come or move while it is under way may be missed.
func (t *Table) Look(top *Top, entries int, now int64) (done bool) {
	if t.live == 0 {
		return true
	}
	end := min(top.at+entries, t.used)
	for ; top.at < end; top.at++ {
		if t.dues[top.at] != never {
			top.weigh(t, top.at, now)
		}
	}
	return top.at >= t.used
}

// Entries is how many entries a whole look goes over now.
func (t *Table) Entries() int { return t.used }

// weigh takes in an entry whose rate is among the highest.
func (top *Top) weigh(t *Table, ref int, now int64) {
	e, c := &t.hot[ref], &t.cold[ref]
	full := len(top.flows) == top.limit
	// A rate is at most the bytes, for it is taken over a second at least: most entries need no division.
	if full && c.bytesCarry == 0 && uint64(e.bytes) <= top.flows[0].Rate {
		return
	}
	if empty(e, c) {
		return
	}
	total := uint64(c.bytesCarry)<<32 + uint64(e.bytes)
	milliseconds := max(span(c.first, now), rateFloor) / 1_000_000
	rate := total * 1000 / milliseconds
	switch {
	case !full:
		top.flows = append(top.flows, Rated{Rate: rate})
		t.read(&top.flows[len(top.flows)-1].Record, e, c)
		top.up()
	case rate > top.flows[0].Rate:
		top.flows[0].Rate = rate
		t.read(&top.flows[0].Record, e, c)
		top.down()
	}
}

// up moves the last flow to where it belongs.
func (top *Top) up() {
	f := top.flows
	for i := len(f) - 1; i > 0; {
		parent := (i - 1) / 2
		if f[parent].Rate <= f[i].Rate {
			return
		}
		f[parent], f[i] = f[i], f[parent]
		i = parent
	}
}

// down moves the first flow to where it belongs.
func (top *Top) down() {
	f := top.flows
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(f) {
			return
		}
		if right := child + 1; right < len(f) && f[right].Rate < f[child].Rate {
			child = right
		}
		if f[i].Rate <= f[child].Rate {
			return
		}
		f[child], f[i] = f[i], f[child]
		i = child
	}
}

// Flows gives what was found, the highest rate first. The look is at its end then.
func (top *Top) Flows() []Rated {
	slices.SortFunc(top.flows, func(a, b Rated) int { return cmp.Compare(b.Rate, a.Rate) })
	return top.flows
}
