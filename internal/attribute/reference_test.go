package attribute_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"flowsensor/internal/attribute"
	"flowsensor/internal/flow"
)

// reference applies a Config as it is written: networks and rules one after the other, first match wins.
type reference struct{ attribute.Config }

func (c reference) network(a netip.Addr) string {
	for _, n := range c.Networks {
		for _, p := range n.Prefixes {
			if p.Contains(a) {
				return n.Name
			}
		}
	}
	return flow.UnknownNetworkName
}

// roles is what a rule says: which side serves, the service port, and whether the record is discarded.
type roles struct {
	server attribute.Side
	port   uint16
	drop   bool
}

func (c reference) roles(r *flow.Record) roles {
	src, dst := c.network(r.Src.Netip(r.Version)), c.network(r.Dst.Netip(r.Version))
	mirror := *r
	mirror.Src, mirror.Dst, mirror.SrcPort, mirror.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
	mirror.Handshake = map[uint8]uint8{0: 0, 1: 2, 2: 1, 3: 3}[r.Handshake]
	for _, rule := range append(slices.Clone(c.Rules), attribute.Rule{Action: attribute.ActionHandshake}, attribute.Rule{Action: attribute.ActionLowerPort}) {
		if in(rule.Source, src) && in(rule.Destination, dst) {
			if v, ok := try(&rule, r); ok {
				return v
			}
		}
		if rule.BothWays && in(rule.Source, dst) && in(rule.Destination, src) {
			if v, ok := try(&rule, &mirror); ok {
				v.server = opposite(v.server)
				return v
			}
		}
	}
	panic("the last rule did not match")
}

func in(want, network string) bool { return want == "" || want == network }

func try(rule *attribute.Rule, r *flow.Record) (v roles, ok bool) {
	v = roles{server: attribute.Destination, drop: rule.Drop}
	srcListed, dstListed := slices.Contains(rule.Ports, r.SrcPort), slices.Contains(rule.Ports, r.DstPort)
	switch rule.Action {
	case attribute.ActionHandshake:
		if r.Handshake == flow.SawSYNACK {
			v.server = attribute.Source
		}
		ok = r.Handshake == flow.SawSYN || r.Handshake == flow.SawSYNACK
	case attribute.ActionLowerPort:
		v.server, ok = lower(r, rule.Tie), true
	case attribute.ActionPortMatch:
		switch {
		case srcListed && dstListed && rule.Precedence != attribute.SideUnset:
			v.server = rule.Precedence
		case srcListed && dstListed:
			v.server = lower(r, attribute.SideUnset)
		case srcListed:
			v.server = attribute.Source
		}
		ok = srcListed || dstListed
	case attribute.ActionAssign:
		v.server, v.port = opposite(rule.Client), portAt(r, rule.Port)
		return v, len(rule.Ports) == 0 || slices.Contains(rule.Ports, v.port)
	}
	v.port = portAt(r, v.server)
	return v, ok
}

func lower(r *flow.Record, tie attribute.Side) attribute.Side {
	switch {
	case r.SrcPort != r.DstPort:
		if r.SrcPort < r.DstPort {
			return attribute.Source
		}
	case tie != attribute.SideUnset:
		return tie
	case r.Dst.Netip(r.Version).Less(r.Src.Netip(r.Version)):
		return attribute.Source
	}
	return attribute.Destination
}

func portAt(r *flow.Record, s attribute.Side) uint16 {
	if s == attribute.Source {
		return r.SrcPort
	}
	return r.DstPort
}

func opposite(s attribute.Side) attribute.Side {
	return map[attribute.Side]attribute.Side{attribute.Source: attribute.Destination, attribute.Destination: attribute.Source}[s]
}

// smallWorld makes configurations and records in which nearly everything meets: few addresses, ports and names.
type smallWorld struct{ *rand.Rand }

func (w smallWorld) config() attribute.Config {
	var c attribute.Config
	names := []string{"a", "b", "c", "d"}
	owner := make(map[netip.Prefix]string)
	for range w.IntN(12) {
		n := attribute.Network{Name: names[w.IntN(4)]}
		p := netip.PrefixFrom(w.addr(w.IntN(4)).Netip(4), 24+w.IntN(9)).Masked()
		if w.IntN(4) == 0 {
			p = netip.PrefixFrom(w.addr(w.IntN(4)).Netip(6), 120+w.IntN(9)).Masked()
		}
		if other, taken := owner[p]; taken && other != n.Name {
			continue
		}
		owner[p] = n.Name
		n.Prefixes = []netip.Prefix{p}
		n.Ours = n.Name == "a"
		c.Networks = append(c.Networks, n)
	}
	for range w.IntN(90) {
		c.Rules = append(c.Rules, w.rule(c.Networks))
	}
	return c
}

func (w smallWorld) rule(networks []attribute.Network) attribute.Rule {
	pick := func() string {
		switch i := w.IntN(len(networks) + 3); i {
		case 0, 1:
			return ""
		case 2:
			return flow.UnknownNetworkName
		default:
			return networks[i-3].Name
		}
	}
	side := func() attribute.Side { return attribute.Side(w.IntN(3)) }
	var ports []uint16
	for range 1 + w.IntN(3) {
		ports = append(ports, w.port())
	}
	r := attribute.Rule{Source: pick(), Destination: pick(), BothWays: w.IntN(2) == 0}
	switch w.IntN(9) {
	case 0:
		r.Action, r.Tie = attribute.ActionLowerPort, side()
	case 1, 2:
		r.Action = attribute.ActionHandshake
	case 3, 4, 5:
		r.Action, r.Ports, r.Precedence, r.Drop = attribute.ActionPortMatch, ports, side(), w.IntN(4) == 0
	default:
		r.Action, r.Drop = attribute.ActionAssign, w.IntN(4) == 0
		r.Client, r.Port = attribute.Side(1+w.IntN(2)), attribute.Side(1+w.IntN(2))
		if w.IntN(5) > 0 {
			r.Ports = ports
		}
	}
	return r
}

func (w smallWorld) addr(site int) flow.Addr {
	return flow.AddrFrom4([]byte{10, 0, byte(site), byte(w.IntN(256))})
}

func (w smallWorld) port() uint16 { return uint16(1 + w.IntN(6)) }

func (w smallWorld) record() flow.Record {
	r := flow.Record{Key: flow.Key{Version: 4, Proto: flow.ProtoTCP, Src: w.addr(w.IntN(5)), Dst: w.addr(w.IntN(5))}}
	if w.IntN(4) == 0 {
		r.Version = 6
	}
	r.SrcPort, r.DstPort, r.Handshake = w.port(), w.port(), uint8(w.IntN(4))
	return r
}

// The compiled rules say of every record what the plain reading of the configuration says.
func TestRulesAgreeWithAListScan(t *testing.T) {
	w := smallWorld{rand.New(rand.NewPCG(6, 1))}
	for range 400 {
		c := w.config()
		rules, _, err := attribute.Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		plain := reference{c}
		for range 100 {
			r := w.record()
			var a flow.Attribution
			rules.Attribute(&r, &a)
			server := attribute.Destination
			if a.FromServer {
				server = attribute.Source
			}
			got, want := roles{server: server, port: a.ServicePort, drop: a.Drop}, plain.roles(&r)
			if got != want {
				t.Fatalf("%+v\nof %+v\ngot  %+v\nwant %+v", r, c, got, want)
			}
			checkNetworks(t, rules.Networks(), plain, &r, &a)
		}
	}
}

func checkNetworks(t *testing.T, n flow.Networks, plain reference, r *flow.Record, a *flow.Attribution) {
	t.Helper()
	for _, side := range []struct {
		addr flow.Addr
		id   flow.NetworkID
	}{{a.Client, a.ClientNetwork}, {a.Server, a.ServerNetwork}} {
		if got, want := n.Name(side.id), plain.network(side.addr.Netip(r.Version)); got != want {
			t.Fatalf("%s is in %s, want %s; networks %+v", side.addr.Netip(r.Version), got, want, plain.Networks)
		}
	}
	if a.FromServer != (a.Client == r.Dst && a.Server == r.Src) && r.Src != r.Dst {
		t.Fatalf("%+v gave %+v", r, a)
	}
}

// Without rules, the records of both directions of a conversation have the same client, server and service port, as long
// as the evidence is there in both.
func TestBothDirectionsAgree(t *testing.T) {
	w := smallWorld{rand.New(rand.NewPCG(6, 2))}
	both := []attribute.Rule{
		{Action: attribute.ActionPortMatch, Ports: []uint16{3, 4}},
		{Source: "a", Destination: "b", Action: attribute.ActionAssign, Client: attribute.Source, Port: attribute.Destination, Ports: []uint16{5}, BothWays: true},
		{Destination: "b", Source: "c", Action: attribute.ActionLowerPort, Tie: attribute.Source, BothWays: true},
	}
	for round := range 200 {
		c := w.config()
		c.Networks = append(c.Networks, large(w.Rand).Networks[1])
		c.Networks[len(c.Networks)-1].Name = "z"
		c.Rules = nil
		if round%2 == 0 {
			for _, name := range []string{"a", "b", "c"} {
				c.Networks = append(c.Networks, attribute.Network{
					Name: name, Ours: name == "a", Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, name[0], 0}), 24)},
				})
			}
			c.Rules = both
		}
		rules, _, err := attribute.Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			r := w.record()
			r.Handshake %= 3
			back := r
			back.Src, back.Dst, back.SrcPort, back.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
			back.Handshake = [3]uint8{0, flow.SawSYNACK, flow.SawSYN}[r.Handshake]
			var there, here flow.Attribution
			rules.Attribute(&r, &there)
			rules.Attribute(&back, &here)
			if r.Src == r.Dst {
				continue // which end is which cannot be told
			}
			here.Direction, here.FromServer = there.Direction, !here.FromServer
			if here != there {
				t.Fatalf("%+v\nthere %+v\nback  %+v", r, there, here)
			}
		}
	}
}
