package collector

import (
	"errors"
	"fmt"
	"slices"

	"flowsensor/internal/attribute"
	"flowsensor/internal/config"
	"flowsensor/internal/setting"
)

// NetworkConfig is one [[network]].
type NetworkConfig struct {
	Name     string   `toml:"name"`
	Prefixes []string `toml:"prefixes"`
	Ours     bool     `toml:"ours"`
}

// RoleConfig is one [[role]].
type RoleConfig struct {
	Source      string `toml:"source"`
	Destination string `toml:"destination"`
	BothWays    bool   `toml:"both_ways"`
	Action      string `toml:"action"`
	Tie         string `toml:"tie"`
	Precedence  string `toml:"precedence"`
	Client      string `toml:"client"`
	Port        string `toml:"port"`
	Ports       []int  `toml:"ports"`
	Drop        bool   `toml:"drop"`
}

// defaultServicePorts are well-known services on ports from 1024, by IANA's registry and by custom.
func defaultServicePorts() []int {
	return []int{
		1194, 1433, 1521, 1812, 1883, 2049, 3128, 3306, 3389, 3478, 5060, 5353, 5432, 5672, 5900, 6379, 6443, 8080, 8443, 8883, 9092, 9200,
		11211, 27017, 51820,
	}
}

// validateAttribution refuses what the rules cannot be made from, one refusal a key.
func (c *Config) validateAttribution(doc *config.Document) {
	refused := make(map[string]bool)
	rules := c.attribution(func(path string, err error) {
		refused[path] = true
		doc.Check(path, err)
	})
	for _, p := range rules.Check() {
		if !refused[p.Key] {
			doc.Check("", p)
		}
	}
}

// newRules makes the rules of a configuration that was loaded, and says what in it is without effect.
func newRules(c Config) (*attribute.Rules, []setting.KeyError, error) {
	var errs []error
	a := c.attribution(func(path string, err error) { errs = append(errs, setting.KeyError{Key: path, Err: err}) })
	rules, warnings, err := attribute.Compile(a)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, nil, configError(err)
	}
	return rules, warnings, nil
}

// attribution gives the configuration of the rules. What cannot be read as what it stands for goes to refuse, with its
// key, and is left out.
func (c *Config) attribution(refuse func(path string, err error)) attribute.Config {
	var a attribute.Config
	for i, n := range c.Networks {
		parsed, err := prefixes(n.Prefixes)
		if err != nil {
			refuse(fmt.Sprintf("network[%d].prefixes", i), err)
		}
		a.Networks = append(a.Networks, attribute.Network{Name: n.Name, Prefixes: parsed, Ours: n.Ours})
	}
	for i := range c.RoleRules {
		a.Rules = append(a.Rules, c.RoleRules[i].rule(fmt.Sprintf("role[%d].", i), refuse))
	}
	a.ServicePorts = portNumbers(c.ServicePorts, "service_ports", refuse)
	return a
}

func (r *RoleConfig) rule(at string, refuse func(path string, err error)) attribute.Rule {
	rule := attribute.Rule{
		Source: r.Source, Destination: r.Destination, BothWays: r.BothWays, Drop: r.Drop,
		Ports: portNumbers(r.Ports, at+"ports", refuse),
	}
	var known bool
	if rule.Action, known = attribute.ParseAction(r.Action); !known && r.Action != "" {
		refuse(at+"action", config.OneOf(r.Action, attribute.ActionNames()...))
	}
	for _, side := range []struct {
		key, word string
		into      *attribute.Side
	}{
		{"tie", r.Tie, &rule.Tie},
		{"precedence", r.Precedence, &rule.Precedence},
		{"client", r.Client, &rule.Client},
		{"port", r.Port, &rule.Port},
	} {
		switch side.word {
		case "":
		case "source":
			*side.into = attribute.Source
		case "destination":
			*side.into = attribute.Destination
		default:
			refuse(at+side.key, config.OneOf(side.word, "source", "destination"))
		}
	}
	return rule
}

func portNumbers(numbers []int, path string, refuse func(path string, err error)) []uint16 {
	var ports []uint16
	for _, n := range numbers {
		if err := config.Between(n, 1, 65535); err != nil {
			refuse(path, err)
			continue
		}
		ports = append(ports, uint16(n))
	}
	return slices.Compact(ports)
}
