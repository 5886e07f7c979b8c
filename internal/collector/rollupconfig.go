package collector

import (
	"slices"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/flow"
	"flowsensor/internal/rollup"
)

// RollupConfig is [rollup] with its tables, one for each measurement.
type RollupConfig struct {
	Traffic      TrafficConfig      `toml:"traffic"`
	Conversation ConversationConfig `toml:"conversation"`
	Activities   ActivitiesConfig   `toml:"activities"`
	Flow         FlowConfig         `toml:"flow"`
}

// TrafficConfig is [rollup.traffic].
type TrafficConfig struct {
	Enabled  bool            `toml:"enabled"`
	Interval config.Duration `toml:"interval"`
	Tags     []string        `toml:"tags"`
	MaxKeys  int             `toml:"max_keys"`
}

// ConversationConfig is [rollup.conversation].
type ConversationConfig struct {
	Enabled  bool            `toml:"enabled"`
	Interval config.Duration `toml:"interval"`
	Tags     []string        `toml:"tags"`
	Top      int             `toml:"top"`
}

// ActivitiesConfig is [rollup.activities].
type ActivitiesConfig struct {
	Enabled bool `toml:"enabled"`
	MaxKeys int  `toml:"max_keys"`
}

// FlowConfig is [rollup.flow]: the records themselves.
type FlowConfig struct {
	Enabled  bool     `toml:"enabled"`
	Networks []string `toml:"networks"`
}

func defaultRollup() RollupConfig {
	d := rollup.DefaultConfig()
	return RollupConfig{
		Traffic: TrafficConfig{
			Enabled: true, Interval: config.Duration(d.Traffic.Interval), Tags: d.Traffic.Tags.Names(), MaxKeys: d.Traffic.MaxKeys,
		},
		Conversation: ConversationConfig{
			Enabled: true, Interval: config.Duration(d.Conversation.Interval), Tags: d.Conversation.Tags.Names(), Top: d.Conversation.Top,
		},
		Activities: ActivitiesConfig{MaxKeys: rollup.DefaultActivities},
		Flow:       FlowConfig{Enabled: true, Networks: []string{}},
	}
}

// Windows of the journal. The length never changes: row times hang on it.
const (
	window = 10 * time.Second
	// longestWindows is how many windows are acknowledged together at most: a minute's.
	longestWindows = 6
)

// windows is how many windows are acknowledged together: those of an interval of conversations, so that a conversation
// gets one row of each.
func (c *RollupConfig) windows() int {
	if !c.Conversation.Enabled {
		return 1
	}
	return min(max(int(c.Conversation.Interval.D()/window), 1), longestWindows)
}

// rollup gives the configuration of the roll-ups of one shard. What cannot be read goes to refuse, with its key.
func (c *RollupConfig) rollup(shard string, refuse func(path string, err error)) rollup.Config {
	rc := rollup.Config{Window: window, Shard: shard}
	if t := &c.Traffic; t.Enabled {
		tags, err := rollup.ParseTags(t.Tags, rollup.TrafficTags)
		if err != nil {
			refuse("rollup.traffic.tags", err)
		}
		rc.Traffic = rollup.Traffic{Interval: t.Interval.D(), Tags: tags, MaxKeys: t.MaxKeys}
	}
	if t := &c.Conversation; t.Enabled {
		tags, err := rollup.ParseTags(t.Tags, rollup.ConversationTags)
		if err != nil {
			refuse("rollup.conversation.tags", err)
		}
		rc.Conversation = rollup.Conversation{Interval: t.Interval.D(), Tags: tags, Top: t.Top}
	}
	if c.Activities.Enabled {
		rc.Activities = rollup.Activities{MaxKeys: c.Activities.MaxKeys}
	}
	return rc
}

// validateRollup refuses what roll-ups cannot be made from.
func (c *Config) validateRollup(doc *config.Document) {
	r := &c.Rollup
	rc := r.rollup("", func(path string, err error) { doc.Check(path, err) })
	if r.Traffic.Enabled && r.Traffic.Interval == 0 {
		doc.Checkf("rollup.traffic.interval", "0s: want whole seconds, or enabled = false")
	}
	if r.Conversation.Enabled && r.Conversation.Interval == 0 {
		doc.Checkf("rollup.conversation.interval", "0s: want whole seconds, or enabled = false")
	}
	if r.Activities.Enabled && r.Activities.MaxKeys == 0 {
		doc.Checkf("rollup.activities.max_keys", "0 keys: want 1 or more, or enabled = false")
	}
	doc.Check("rollup", rc.Validate())
	for _, name := range r.Flow.Networks {
		known := slices.ContainsFunc(c.Networks, func(n NetworkConfig) bool { return n.Name == name })
		if !known && name != flow.UnknownNetworkName {
			doc.Checkf("rollup.flow.networks", "%q: there is no [[network]] of that name", name)
		}
	}
}

// keep gives which records are written as points of their own.
func (c *FlowConfig) keep() func(*flow.Attribution, flow.Networks) bool {
	if !c.Enabled {
		return func(*flow.Attribution, flow.Networks) bool { return false }
	}
	if len(c.Networks) == 0 {
		return func(*flow.Attribution, flow.Networks) bool { return true }
	}
	names := make(map[string]bool)
	for _, name := range c.Networks {
		names[name] = true
	}
	return func(a *flow.Attribution, networks flow.Networks) bool {
		return names[networks.Name(a.ClientNetwork)] || names[networks.Name(a.ServerNetwork)]
	}
}
