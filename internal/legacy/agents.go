package legacy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"flowsensor/internal/seal"
)

// Errors that New gives, for errors.Is; those of seal for ids and keys too.
var (
	ErrAddress          = errors.New("agent has no address")
	ErrDuplicateAddress = errors.New("two agents have one address: it is what tells them apart")
	ErrDuplicateID      = errors.New("two agents have one id")
)

// Agent is who may send. Unlike sensors, agents may share a key: as published they all do.
type Agent struct {
	ID      string     // what stands for the sensor's id in its records
	Address netip.Addr // its datagrams come from; no other agent has it
	Keys    []seal.Key // newest first, 1 to seal.MaxKeys
}

// Agents is all that may send.
type Agents struct {
	byAddress map[netip.Addr]*agent
	byID      map[string]*agent
}

// agent is what is known of one of them.
type agent struct {
	id     string
	opener *seal.BareOpener
	*state
}

// state is what outlives a reload.
type state struct {
	mu   sync.Mutex // guards the fields below
	seen replays
	// boot and seq are the identity of the batch to come, as a sensor would give it, and base the least stamp for it.
	boot, seq uint64
	base      int64
	stats     AgentStats
}

// AgentStats is what came from one agent, authenticated.
type AgentStats struct {
	ID      string
	Batches uint64
	Records uint64
	// LastSeen is the receive time of the latest datagram that became a batch; zero before the first.
	LastSeen time.Time
}

// New makes Agents that take tokens within the limits. What previous, where there is one, knows of agents with the same id
// goes on. now is the beginning of the numbers of those that are new.
func New(agents []Agent, limits seal.Limits, now time.Time, previous *Agents) (*Agents, error) {
	all := &Agents{byAddress: make(map[netip.Addr]*agent, len(agents)), byID: make(map[string]*agent, len(agents))}
	for _, cfg := range agents {
		a, err := newAgent(cfg, limits)
		if err == nil && all.byAddress[cfg.Address.Unmap()] != nil {
			err = fmt.Errorf("%w: %s", ErrDuplicateAddress, cfg.Address)
		}
		if err == nil && all.byID[cfg.ID] != nil {
			err = ErrDuplicateID
		}
		if err != nil {
			return nil, fmt.Errorf("agent %q: %w", cfg.ID, err)
		}
		if previous != nil && previous.byID[cfg.ID] != nil {
			a.state = previous.byID[cfg.ID].state
		} else {
			a.state = &state{boot: uint64(max(now.UnixNano(), 1)), seq: 1, stats: AgentStats{ID: cfg.ID}}
		}
		all.byAddress[cfg.Address.Unmap()], all.byID[cfg.ID] = a, a
	}
	return all, nil
}

func newAgent(cfg Agent, limits seal.Limits) (*agent, error) {
	if err := seal.ValidID(cfg.ID); err != nil {
		return nil, err
	}
	if !cfg.Address.IsValid() {
		return nil, ErrAddress
	}
	opener, err := seal.NewBareOpener(cfg.Keys, limits)
	if err != nil {
		return nil, err
	}
	return &agent{id: cfg.ID, opener: opener}, nil
}

// Stats gives what came from each agent, by id.
func (a *Agents) Stats() []AgentStats {
	all := make([]AgentStats, 0, len(a.byAddress))
	for _, known := range a.byAddress {
		known.mu.Lock()
		all = append(all, known.stats)
		known.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b AgentStats) int { return strings.Compare(a.ID, b.ID) })
	return all
}
