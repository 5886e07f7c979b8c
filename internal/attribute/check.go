package attribute

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"flowsensor/internal/flow"
	"flowsensor/internal/setting"
)

// Bounds of a Config.
const (
	MaxRules      = 256
	MaxNetworks   = 1<<16 - 1 // names
	maxNameOctets = 64
	mappedPrefix  = 96 // bits in front of the IPv4 address in ::ffff:0:0/96
)

// Check says all that is wrong with c: nil where Compile takes it.
func (c *Config) Check() []setting.KeyError {
	k := &checker{config: c, ours: make(map[string]int)}
	k.networks()
	for i := range c.Rules {
		k.rule(i)
	}
	if len(c.Rules) > MaxRules {
		k.refuse("role", "%d rules: want %d at most", len(c.Rules), MaxRules)
	}
	k.ports("service_ports", c.ServicePorts)
	return k.problems
}

type checker struct {
	config   *Config
	ours     map[string]int // by name, the first network of it
	problems []setting.KeyError
}

func (k *checker) refuse(path, format string, args ...any) {
	k.problems = append(k.problems, setting.KeyError{Key: path, Err: fmt.Errorf(format, args...)})
}

func (k *checker) networks() {
	owner := make(map[netip.Prefix]string)
	for i, n := range k.config.Networks {
		at := fmt.Sprintf("network[%d]", i)
		if err := checkName(n.Name); err != nil {
			k.refuse(at+".name", "%w", err)
		}
		if first, known := k.ours[n.Name]; !known {
			k.ours[n.Name] = i
		} else if k.config.Networks[first].Ours != n.Ours {
			k.refuse(at+".ours", "network %q is ours = %t above: say the same wherever the name stands", n.Name, !n.Ours)
		}
		if len(n.Prefixes) == 0 {
			k.refuse(at+".prefixes", `no prefix: want such as ["192.0.2.0/24", "2001:db8::/32"]`)
		}
		for _, p := range n.Prefixes {
			if err := checkPrefix(p); err != nil {
				k.refuse(at+".prefixes", "%w", err)
				continue
			}
			if other, taken := owner[p]; taken && other != n.Name {
				k.refuse(at+".prefixes", "%s is network %q above: one prefix has one name", p, other)
			}
			owner[p] = n.Name
		}
	}
	if len(k.ours) > MaxNetworks {
		k.refuse("network", "%d names: want %d at most", len(k.ours), MaxNetworks)
	}
}

// checkName refuses what would be trouble as the value of a tag.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New(`no name: want such as "office"`)
	case name == flow.UnknownNetworkName:
		return fmt.Errorf("%q is the name of all addresses that no network holds: want another", name)
	case len(name) > maxNameOctets:
		return fmt.Errorf("%q has %d octets: want %d at most", name, len(name), maxNameOctets)
	case !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }), strings.TrimSpace(name) != name:
		return fmt.Errorf("%q: want printable characters, without space around them", name)
	default:
		return nil
	}
}

func checkPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New(`no valid prefix: want such as "192.0.2.0/24" or "2001:db8::/32"`)
	case p.Addr().Is4In6() && p.Bits() >= mappedPrefix:
		plain := netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedPrefix).Masked()
		return fmt.Errorf("%q is an IPv4 network in IPv6 form, in which no IPv4 address is: write %q", p, plain)
	case p != p.Masked():
		return fmt.Errorf("%q has bits behind its length: write %q", p, p.Masked())
	default:
		return nil
	}
}

func (k *checker) rule(i int) {
	r := &k.config.Rules[i]
	at := fmt.Sprintf("role[%d].", i)
	k.knownNetwork(at+"source", r.Source)
	k.knownNetwork(at+"destination", r.Destination)
	k.ports(at+"ports", r.Ports)
	if r.Action == 0 || int(r.Action) >= actions {
		k.refuse(at+"action", "no action: want one of %q", ActionNames())
		return
	}
	if r.Action == ActionPortMatch && len(r.Ports) == 0 {
		k.refuse(at+"ports", "no port: port_match would never match")
	}
	if r.Action == ActionAssign && r.Client == SideUnset {
		k.refuse(at+"client", `assign must say where the client is: want "source" or "destination"`)
	}
	if r.Action == ActionAssign && r.Port == SideUnset {
		k.refuse(at+"port", `assign must say where the service port is: want "source" or "destination"`)
	}
	for _, key := range []struct {
		name  string
		set   bool
		taken []Action
	}{
		{"tie", r.Tie != SideUnset, []Action{ActionLowerPort}},
		{"precedence", r.Precedence != SideUnset, []Action{ActionPortMatch}},
		{"client", r.Client != SideUnset, []Action{ActionAssign}},
		{"port", r.Port != SideUnset, []Action{ActionAssign}},
		{"ports", len(r.Ports) > 0, []Action{ActionPortMatch, ActionAssign}},
		{"drop", r.Drop, []Action{ActionPortMatch, ActionAssign}},
	} {
		if key.set && !slices.Contains(key.taken, r.Action) {
			k.refuse(at+key.name, "%s does not take it: it goes with %v", r.Action, key.taken)
		}
	}
}

func (k *checker) knownNetwork(path, name string) {
	if _, known := k.ours[name]; known || name == "" || name == flow.UnknownNetworkName {
		return
	}
	if len(k.ours) == 0 {
		k.refuse(path, "no network has the name %q: there is no [[network]] yet", name)
		return
	}
	k.refuse(path, `no network has the name %q: want one of %q, %q for all others, or "" for any`,
		name, slices.Sorted(maps.Keys(k.ours)), flow.UnknownNetworkName)
}

func (k *checker) ports(path string, ports []uint16) {
	for _, p := range ports {
		if p == 0 {
			k.refuse(path, "0 is no port: want 1 to 65535")
		}
	}
}
