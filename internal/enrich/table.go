package enrich

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gaissmai/bart"

	"flowsensor/internal/flow"
)

// Origin is what is known of an address; the zero value stands for nothing.
type Origin struct {
	AS   uint32
	Mask uint8  // prefix length + 1 as in flow.Record, 0 where no prefix holds the address
	Name string // of the AS; "" when unknown
}

// leaf is what a prefix leads to: the index of its system in the high 24 bits, its own length below. It holds no
// pointer, so that a table costs the garbage collector nothing.
type leaf uint32

// noLeaf is where no prefix is.
const noLeaf = ^leaf(0)

func newLeaf(system, bits int) leaf { return leaf(system)<<8 | leaf(bits) }

func (l leaf) system() int { return int(l >> 8) }
func (l leaf) bits() uint8 { return uint8(l) }

// system is an autonomous system.
type system struct {
	as   uint32
	name string
}

// table maps prefixes to systems. It is built by one goroutine and immutable afterwards.
type table struct {
	v4 ranges[uint32]
	v6 ranges[uint64] // by the high half of the address
	// deep holds the IPv6 prefixes longer than that, which are rare.
	deep     bart.Table[leaf]
	systems  []system
	prefixes int
}

// find gives the leaf of the longest prefix that holds the address. It does not allocate.
func (t *table) find(a flow.Addr, version uint8) (leaf, bool) {
	switch {
	case t == nil || version != 4 && version != 6:
		return 0, false
	case version == 4:
		return t.v4.find(uint32(a.Lo))
	case t.deep.Size() > 0:
		if l, ok := t.deep.Lookup(a.Netip(version)); ok {
			return l, true
		}
	}
	return t.v6.find(a.Hi)
}

func (t *table) origin(l leaf) Origin {
	s := &t.systems[l.system()]
	return Origin{AS: s.as, Mask: l.bits() + 1, Name: s.name}
}

// The errors of a table, in the words of the operator.
var (
	errEmpty   = errors.New("no prefix in it")
	errNotASN  = errors.New("no autonomous system in it: want an ASN database, such as GeoLite2-ASN.mmdb")
	errTwice   = errors.New("the prefix stands twice")
	errTooMany = fmt.Errorf("more than %d prefixes", MaxPrefixes)
	errSystems = fmt.Errorf("more than %d systems", maxSystems)
)

// builder makes a table.
type builder struct {
	table *table
	known map[system]int
	v4    []entry[uint32]
	v6    []entry[uint64]
}

func newBuilder() *builder { return &builder{table: new(table), known: make(map[system]int)} }

// number gives the index of a system. Names are told apart as they come, and cleaned once.
func (b *builder) number(s system) (int, error) {
	n, ok := b.known[s]
	if ok {
		return n, nil
	}
	if n = len(b.table.systems); n == maxSystems {
		return 0, errSystems
	}
	s.name = strings.Clone(s.name) // from a buffer that is reused, or holds a whole file
	b.known[s] = n
	s.name = cleanName(s.name)
	b.table.systems = append(b.table.systems, s)
	return n, nil
}

// add puts a prefix, which must be masked, into the table. line is where it stands, for an error that comes later.
func (b *builder) add(p netip.Prefix, number, line int) error {
	if b.table.prefixes == MaxPrefixes {
		return errTooMany
	}
	b.table.prefixes++
	a, version := flow.AddrFrom(p.Addr())
	l := newLeaf(number, p.Bits())
	switch {
	case version == 4:
		b.v4 = append(b.v4, entry[uint32]{key: uint32(a.Lo), leaf: l, line: uint32(line)})
	case p.Bits() <= 64:
		b.v6 = append(b.v6, entry[uint64]{key: a.Hi, leaf: l, line: uint32(line)})
	default:
		if _, there := b.table.deep.Get(p); there {
			return errTwice
		}
		b.table.deep.Insert(p, l)
	}
	return nil
}

// done gives the table, or the line of what is wrong with it.
func (b *builder) done() (_ *table, line int, err error) {
	if b.table.prefixes == 0 {
		return nil, 1, errEmpty
	}
	twice4, twice6 := b.table.v4.fill(b.v4), b.table.v6.fill(b.v6)
	switch {
	case twice4 != nil:
		return nil, int(twice4.line), errTwice
	case twice6 != nil:
		return nil, int(twice6.line), errTwice
	}
	return b.table, 0, nil
}

// cleanName makes a name fit to be a value in line protocol and to be shown: valid UTF-8, nothing that controls a
// terminal or breaks a line, and not too long.
func cleanName(name string) string {
	name = strings.ToValidUTF8(name, string(utf8.RuneError))
	name = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, name)
	name = strings.TrimSpace(name)
	if len(name) > maxName {
		end := maxName
		for !utf8.RuneStart(name[end]) {
			end--
		}
		name = name[:end]
	}
	return name
}
