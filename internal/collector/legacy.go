package collector

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/legacy"
	"flowsensor/internal/seal"
	"flowsensor/internal/setting"
)

// LegacyAgentConfig is one [[legacy_agent]].
type LegacyAgentConfig struct {
	ID       string   `toml:"id"`
	Address  string   `toml:"address"`
	KeyFiles []string `toml:"key_files"`
}

func (c *Config) validateLegacyAgents(doc *config.Document) {
	ids, addresses := make(map[string]bool), make(map[netip.Addr]bool)
	for _, s := range c.Sensors {
		ids[s.ID] = true
	}
	for i, a := range c.LegacyAgents {
		at := fmt.Sprintf("legacy_agent[%d].", i)
		doc.Check(at+"id", seal.ValidID(a.ID))
		if ids[a.ID] {
			doc.Checkf(at+"id", "%q stands twice, among sensors and agents", a.ID)
		}
		ids[a.ID] = true
		address, err := a.address()
		doc.Check(at+"address", err)
		if err == nil && addresses[address] {
			doc.Checkf(at+"address", "%s stands twice: it is what tells agents apart", address)
		}
		addresses[address] = true
		if n := len(a.KeyFiles); n == 0 || n > seal.MaxKeys {
			doc.Checkf(at+"key_files", "%d files: want 1 to %d, the newest key first", n, seal.MaxKeys)
		}
	}
}

// validateAgentKeys reads the agents' key files.
func (c *Config) validateAgentKeys(doc *config.Document, read keyReader) {
	for i, a := range c.LegacyAgents {
		_, err := loadKeys(a.KeyFiles, read)
		doc.Check(fmt.Sprintf("legacy_agent[%d].key_files", i), err)
	}
}

func (c *LegacyAgentConfig) address() (netip.Addr, error) {
	a, err := netip.ParseAddr(c.Address)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf(`%q is no address: write the one that its datagrams come from, such as "192.0.2.9"`, c.Address)
	}
	return a.Unmap(), nil
}

// newAgents loads the keys of the agents; nil where there are none. What previous knows of them goes on.
func newAgents(c Config, previous *legacy.Agents) (*legacy.Agents, error) {
	if len(c.LegacyAgents) == 0 {
		return nil, nil
	}
	var agents []legacy.Agent
	var errs []error
	for i, lc := range c.LegacyAgents {
		a := legacy.Agent{ID: lc.ID}
		at := fmt.Sprintf("legacy_agent[%d].", i)
		var err error
		if a.Address, err = lc.address(); err != nil {
			errs = append(errs, setting.KeyError{Key: at + "address", Err: err})
		}
		if a.Keys, err = loadKeys(lc.KeyFiles, seal.LoadKeyFile); err != nil {
			errs = append(errs, setting.KeyError{Key: at + "key_files", Err: err})
		}
		agents = append(agents, a)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, configError(err)
	}
	all, err := legacy.New(agents, c.Ingest.limits(), time.Now(), previous)
	if err != nil {
		return nil, configError(err)
	}
	return all, nil
}
