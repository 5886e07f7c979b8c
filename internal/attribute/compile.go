package attribute

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gaissmai/bart"

	"flowsensor/internal/flow"
	"flowsensor/internal/setting"
)

const (
	wordBits = 64
	ports    = 1 << 16
)

// Compile makes Rules of a Config that Check has no word against, and says what in it is without effect.
func Compile(c Config) (*Rules, []setting.KeyError, error) {
	if problems := c.Check(); len(problems) > 0 {
		errs := make([]error, 0, len(problems))
		for _, p := range problems {
			errs = append(errs, p)
		}
		return nil, nil, errors.Join(errs...)
	}
	b := &builder{rules: &Rules{prefixes: new(bart.Fast[flow.NetworkID])}, ids: make(map[string]flow.NetworkID)}
	b.networks(c.Networks)
	b.halves(c.Rules)
	b.rows()
	b.portRows()
	for _, p := range c.ServicePorts {
		b.rules.services[p/wordBits] |= 1 << (p % wordBits)
	}
	return b.rules, b.warnings, nil
}

type builder struct {
	rules    *Rules
	ids      map[string]flow.NetworkID
	listed   []Rule // in order, those for both ways twice
	warnings []setting.KeyError
}

func (b *builder) warn(path, format string, args ...any) {
	b.warnings = append(b.warnings, setting.KeyError{Key: path, Err: fmt.Errorf(format, args...)})
}

// networks fills the trie. A prefix that an earlier one covers could never be the first match and is left out; among the
// others the longest match is the first.
func (b *builder) networks(networks []Network) {
	r := b.rules
	r.networks = flow.Networks{{Name: flow.UnknownNetworkName}}
	b.ids[flow.UnknownNetworkName] = flow.UnknownNetwork
	someOurs := false
	for i, n := range networks {
		id, known := b.ids[n.Name]
		if !known {
			id = flow.NetworkID(len(r.networks))
			b.ids[n.Name] = id
			r.networks = append(r.networks, flow.Network{Name: n.Name, Ours: n.Ours})
		}
		someOurs = someOurs || n.Ours
		for _, p := range n.Prefixes {
			if by, whose, covered := r.prefixes.LookupPrefixLPM(p); covered {
				b.warn(fmt.Sprintf("network[%d].prefixes", i), "%s is left out: %s of network %q stands above and covers it",
					p, by, r.networks[whose].Name)
				continue
			}
			r.prefixes.Insert(p, id)
		}
	}
	if someOurs {
		r.directions = [4]flow.Direction{flow.DirectionTransit, flow.DirectionIn, flow.DirectionOut, flow.DirectionLocal}
	}
}

// halves lists the rules as each applies to one direction, and behind them the two that take what is left.
func (b *builder) halves(rules []Rule) {
	for i, r := range rules {
		if j := slices.IndexFunc(rules[:i], func(above Rule) bool { return above.takesAll(&r) }); j >= 0 {
			b.warn(fmt.Sprintf("role[%d]", i), "is never reached: role[%d] takes everything before it", j)
		}
		b.listed = append(b.listed, r)
		if r.BothWays {
			b.listed = append(b.listed, r.mirrored())
		}
	}
	b.listed = append(b.listed, Rule{Action: ActionHandshake}, Rule{Action: ActionLowerPort})
	b.rules.words = (len(b.listed) + wordBits - 1) / wordBits
	for i := range b.listed {
		r := &b.listed[i]
		b.rules.halves = append(b.rules.halves, half{
			action: r.Action, drop: r.Drop, client: r.Client, port: r.Port, tie: max(r.Tie, r.Precedence),
		})
	}
}

// takesAll reports whether nothing is left for a rule below.
func (r *Rule) takesAll(below *Rule) bool {
	covers := func(above, below string) bool { return above == "" || above == below }
	return r.always() && covers(r.Source, below.Source) && covers(r.Destination, below.Destination) &&
		(!below.BothWays || r.BothWays || covers(r.Source, below.Destination) && covers(r.Destination, below.Source))
}

// rows notes for each network in which rules it is the source, and in which the destination, and which rules ask for no port.
func (b *builder) rows() {
	r := b.rules
	n := len(r.networks) * r.words
	r.sources, r.destinations = make([]uint64, n), make([]uint64, n)
	r.always, r.handshakes = make([]uint64, r.words), make([]uint64, r.words)
	for i := range b.listed {
		rule := &b.listed[i]
		b.networkRows(r.sources, rule.Source, i)
		b.networkRows(r.destinations, rule.Destination, i)
		switch {
		case rule.always():
			set(r.always, i)
		case rule.Action == ActionHandshake:
			set(r.handshakes, i)
		}
	}
}

func (b *builder) networkRows(rows []uint64, name string, rule int) {
	for id := range len(b.rules.networks) {
		if name == "" || b.ids[name] == flow.NetworkID(id) {
			set(rows[id*b.rules.words:], rule)
		}
	}
}

// portRows notes for each port which rules match when it is the source port, and which when it is the destination port.
// Ports that no rule tells apart share a row, and ports that none lists share row 0.
func (b *builder) portRows() {
	r := b.rules
	r.sourcePorts, r.destinationPorts = make([]uint64, r.words), make([]uint64, r.words)
	lists := make(map[uint16][]int) // the rules that list a port
	for i := range b.listed {
		for _, p := range b.listed[i].Ports {
			if l := lists[p]; len(l) == 0 || l[len(l)-1] != i { // a rule may list a port twice
				lists[p] = append(l, i)
			}
		}
	}
	rows := make(map[string]uint16)
	for p, rules := range lists {
		key := fmt.Sprint(rules)
		row, known := rows[key]
		if !known {
			row = uint16(len(rows) + 1)
			rows[key] = row
			b.portRow(rules)
		}
		r.portRow[p] = row
	}
}

func (b *builder) portRow(rules []int) {
	r := b.rules
	src, dst := make([]uint64, r.words), make([]uint64, r.words)
	for _, i := range rules {
		rule := &b.listed[i]
		if rule.Action == ActionPortMatch || rule.Port == Source {
			set(src, i)
		}
		if rule.Action == ActionPortMatch || rule.Port == Destination {
			set(dst, i)
		}
	}
	r.sourcePorts, r.destinationPorts = append(r.sourcePorts, src...), append(r.destinationPorts, dst...)
}

func set(row []uint64, bit int) { row[bit/wordBits] |= 1 << (bit % wordBits) }
