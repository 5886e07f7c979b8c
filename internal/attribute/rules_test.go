package attribute_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"flowsensor/internal/attribute"
	"flowsensor/internal/flow"
)

func prefix(text ...string) (all []netip.Prefix) {
	for _, p := range text {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func compile(t *testing.T, c attribute.Config) *attribute.Rules {
	t.Helper()
	rules, _, err := attribute.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestRefusals(t *testing.T) {
	office := attribute.Network{Name: "office", Prefixes: prefix("192.0.2.0/24")}
	for want, c := range map[string]attribute.Config{
		`network[0].name: no name`:                      {Networks: []attribute.Network{{Prefixes: prefix("192.0.2.0/24")}}},
		`network[0].name: "unknown" is the name of all`: {Networks: []attribute.Network{{Name: "unknown", Prefixes: prefix("192.0.2.0/24")}}},
		`network[0].name: "a\nb": want printable`:       {Networks: []attribute.Network{{Name: "a\nb", Prefixes: prefix("192.0.2.0/24")}}},
		`network[0].name: "` + strings.Repeat("x", 65) + `" has 65 octets: want 64 at most`: {
			Networks: []attribute.Network{{Name: strings.Repeat("x", 65), Prefixes: prefix("192.0.2.0/24")}},
		},
		`network[0].prefixes: no prefix: want such as ["192.0.2.0/24", "2001:db8::/32"]`: {Networks: []attribute.Network{{Name: "office"}}},
		`network[0].prefixes: "192.0.2.1/24" has bits behind its length: write "192.0.2.0/24"`: {
			Networks: []attribute.Network{{Name: "office", Prefixes: prefix("192.0.2.1/24")}},
		},
		`network[0].prefixes: "::ffff:192.0.2.0/120" is an IPv4 network in IPv6 form, in which no IPv4 address is: write "192.0.2.0/24"`: {
			Networks: []attribute.Network{{Name: "office", Prefixes: prefix("::ffff:192.0.2.0/120")}},
		},
		`network[0].prefixes: no valid prefix`: {Networks: []attribute.Network{{Name: "office", Prefixes: []netip.Prefix{{}}}}},
		`network[1].prefixes: 192.0.2.0/24 is network "office" above: one prefix has one name`: {
			Networks: []attribute.Network{office, {Name: "branch", Prefixes: prefix("192.0.2.0/24")}},
		},
		`network[1].ours: network "office" is ours = false above`: {
			Networks: []attribute.Network{office, {Name: "office", Prefixes: prefix("198.51.100.0/24"), Ours: true}},
		},
		`role[0].source: no network has the name "offce": want one of ["office"], "unknown" for all others, or "" for any`: {
			Networks: []attribute.Network{office}, Rules: []attribute.Rule{{Source: "offce", Action: attribute.ActionLowerPort}},
		},
		`role[0].destination: no network has the name "x"`:                                        {Rules: []attribute.Rule{{Destination: "x", Action: attribute.ActionLowerPort}}},
		`role[0].action: no action: want one of ["handshake" "lower_port" "port_match" "assign"]`: {Rules: []attribute.Rule{{}}},
		`role[0].ports: no port: port_match would never match`:                                    {Rules: []attribute.Rule{{Action: attribute.ActionPortMatch}}},
		`role[0].ports: 0 is no port: want 1 to 65535`:                                            {Rules: []attribute.Rule{{Action: attribute.ActionPortMatch, Ports: []uint16{0}}}},
		`role[0].client: assign must say where the client is`:                                     {Rules: []attribute.Rule{{Action: attribute.ActionAssign, Port: attribute.Source}}},
		`role[0].port: assign must say where the service port`:                                    {Rules: []attribute.Rule{{Action: attribute.ActionAssign, Client: attribute.Source}}},
		`role[0].drop: lower_port does not take it: it goes with [port_match assign]`: {
			Rules: []attribute.Rule{{Action: attribute.ActionLowerPort, Drop: true}},
		},
		`role[0].tie: port_match does not take it: it goes with [lower_port]`: {
			Rules: []attribute.Rule{{Action: attribute.ActionPortMatch, Ports: []uint16{1}, Tie: attribute.Source}},
		},
		`service_ports: 0 is no port`: {ServicePorts: []uint16{0}},
		`role: 257 rules: want 256 at most`: {Rules: func() (rules []attribute.Rule) {
			for range 257 {
				rules = append(rules, attribute.Rule{Action: attribute.ActionHandshake})
			}
			return rules
		}()},
	} {
		if _, _, err := attribute.Compile(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// What can have no effect is told, and the rest is taken.
func TestWarnings(t *testing.T) {
	c := attribute.Config{
		Networks: []attribute.Network{
			{Name: "office", Prefixes: prefix("192.0.2.0/24")},
			{Name: "dmz", Prefixes: prefix("192.0.2.0/28", "198.51.100.0/24")},
			{Name: "office", Prefixes: prefix("192.0.2.0/24", "198.51.0.0/16")},
		},
		Rules: []attribute.Rule{
			{Source: "dmz", Action: attribute.ActionLowerPort},
			{Source: "dmz", Destination: "office", Action: attribute.ActionHandshake},
			{Source: "dmz", Destination: "office", Action: attribute.ActionHandshake, BothWays: true},
		},
	}
	rules, warnings, err := attribute.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`network[1].prefixes: 192.0.2.0/28 is left out: 192.0.2.0/24 of network "office" stands above and covers it`,
		`network[2].prefixes: 192.0.2.0/24 is left out: 192.0.2.0/24 of network "office" stands above and covers it`,
		`role[1]: is never reached: role[0] takes everything before it`,
	}
	if got := fmt.Sprint(warnings); got != fmt.Sprint(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := rules.Networks(); len(n) != 3 || n.Name(0) != "unknown" || n.Name(1) != "office" || n.Name(2) != "dmz" {
		t.Errorf("networks %v", n)
	}
}

func TestClass(t *testing.T) {
	rules := compile(t, attribute.Config{ServicePorts: []uint16{3306, 65535}})
	for port, want := range map[uint16]string{
		0: "none", 1: "1", 443: "443", 1023: "1023", 1024: "high", 3306: "3306", 3307: "high", 65534: "high", 65535: "65535",
	} {
		if got := rules.Class(port).String(); got != want {
			t.Errorf("port %d is of class %s, want %s", port, got, want)
		}
	}
}

// An IPv4-mapped address is an IPv6 address like any other, also to the trie.
func TestMappedAddressIsIPv6(t *testing.T) {
	rules := compile(t, attribute.Config{Networks: []attribute.Network{
		{Name: "four", Prefixes: prefix("0.0.0.0/0")}, {Name: "low", Prefixes: prefix("::/64")}, {Name: "six", Prefixes: prefix("::/0")},
	}})
	for record, want := range map[string]string{
		"udp ::ffff:192.0.2.1:1 > 2001:db8::1:2": "low, six", "udp 192.0.2.1:1 > 198.51.100.1:2": "four, four",
	} {
		r := parseRecord(t, record)
		var a flow.Attribution
		rules.Attribute(&r, &a)
		n := rules.Networks()
		if got := n.Name(a.ServerNetwork) + ", " + n.Name(a.ClientNetwork); got != want {
			t.Errorf("%s: %s, want %s", record, got, want)
		}
	}
}

func TestDirectionNeedsNetworksOfOurs(t *testing.T) {
	c := attribute.Config{Networks: []attribute.Network{{Name: "office", Prefixes: prefix("192.0.2.0/24")}}}
	r := parseRecord(t, "tcp 192.0.2.99:40000 > 203.0.113.1:443 syn")
	var a flow.Attribution
	compile(t, c).Attribute(&r, &a)
	if a.Direction != flow.DirectionUnknown {
		t.Errorf("the direction is %s where no network is ours", a.Direction)
	}
}

// What an earlier record left in the result does not show in the next.
func TestAttributeFillsInEveryField(t *testing.T) {
	rules := compile(t, attribute.Config{})
	r := parseRecord(t, "tcp 192.0.2.99:40000 > 203.0.113.1:443 syn")
	var fresh flow.Attribution
	rules.Attribute(&r, &fresh)
	used := flow.Attribution{
		ClientNetwork: 7, ServerNetwork: 7, FromServer: true, Drop: true, ClientAS: 7, ServerAS: 7,
		ClientASName: "x", ServerASName: "x", ServerName: "x",
	}
	rules.Attribute(&r, &used)
	if used != fresh {
		t.Errorf("got %+v, want %+v", used, fresh)
	}
}

func TestStageCounts(t *testing.T) {
	stage := attribute.NewStage(compile(t, attribute.Config{Rules: []attribute.Rule{
		{Action: attribute.ActionPortMatch, Ports: []uint16{53}, Drop: true},
	}}))
	records := []flow.Record{
		parseRecord(t, "tcp 192.0.2.99:40000 > 203.0.113.1:443 syn"),
		parseRecord(t, "udp 192.0.2.99:40000 > 203.0.113.1:53"),
		parseRecord(t, "udp 192.0.2.99:5353 > 224.0.0.251:5353"),
	}
	got := stage.Attribute(nil, records)
	if len(got) != 3 || got[1].ServicePort != 53 || !got[1].Drop || got[2].Drop {
		t.Fatalf("got %+v", got)
	}
	want := attribute.Stats{Dropped: attribute.Volume{Records: 1, Packets: 1, Bytes: 40}}
	want.Evidence[flow.EvidenceHandshake], want.Evidence[flow.EvidenceTie], want.Evidence[flow.EvidenceRule] = 1, 1, 1
	if st := stage.Stats(); st != want {
		t.Errorf("got %+v, want %+v", st, want)
	}
}

func TestAttributeDoesNotAllocate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	stage := attribute.NewStage(compile(t, large(rng)))
	records := traffic(rng, 256)
	into := make([]flow.Attribution, 0, len(records))
	if n := testing.AllocsPerRun(20, func() { into = stage.Attribute(into[:0], records) }); n != 0 {
		t.Errorf("%v allocations for %d records", n, len(records))
	}
}
