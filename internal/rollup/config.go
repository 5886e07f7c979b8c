package rollup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"flowsensor/internal/setting"
)

// Config says which measurements are made, and how. The zero value is not usable: start from DefaultConfig.
type Config struct {
	// Window is the length of a window of the journal. Row times hang on it: it is the same for all shards and releases.
	Window time.Duration
	// Shard is the tag that tells the rows of several shards apart; empty where there is one.
	Shard string

	Traffic      Traffic
	Conversation Conversation
	Activities   Activities
}

// Traffic is the measurement `traffic`: bytes, packets and flows by keys of low cardinality.
type Traffic struct {
	Interval time.Duration // 0 switches it off
	Tags     Tags          // what the key is made of
	MaxKeys  int           // in a window, each interval counted; more go to other
}

// Conversation is the measurement `conversation`: both directions of what a client had with a service.
type Conversation struct {
	Interval time.Duration // 0 switches it off
	Tags     Tags
	// Top is how many keys of a flush get rows of their own, each interval counted. Four times as many are admitted.
	Top int
}

// Activities is the measurement `activities`: one row a second for every flow, tags as the older system had them.
type Activities struct {
	MaxKeys int // in a window, each second counted; 0 switches it off
}

// admission is how many keys a conversation window takes for one that it keeps.
const admission = 4

// DefaultConfig makes traffic and conversations.
func DefaultConfig() Config {
	return Config{
		Window:       10 * time.Second,
		Traffic:      Traffic{Interval: 10 * time.Second, Tags: TrafficTags, MaxKeys: 100_000},
		Conversation: Conversation{Interval: time.Minute, Tags: TagSensor | TagProto | TagService, Top: 10_000},
	}
}

// DefaultActivities is the bound of activities where they are switched on.
const DefaultActivities = 250_000

// Tags is a set of the tags that a key is made of.
type Tags uint8

// The tags.
const (
	TagSensor Tags = 1 << iota
	TagIface
	TagProto
	TagService // the service port's class
	TagClientNetwork
	TagServerNetwork
	TagDirection

	// TrafficTags are those that traffic can have.
	TrafficTags = TagSensor | TagIface | TagProto | TagService | TagClientNetwork | TagServerNetwork | TagDirection
	// ConversationTags are those that conversations can have.
	ConversationTags = TagSensor | TagProto | TagService | TagClientNetwork | TagServerNetwork
)

var tagNames = [...]string{"sensor", "iface", "proto", "service", "client_network", "server_network", "direction"}

// Names lists the tags of the set.
func (t Tags) Names() []string {
	names := make([]string, 0, len(tagNames))
	for i, name := range tagNames {
		if t&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// ParseTags reads names of tags, of which those in may are allowed.
func ParseTags(names []string, may Tags) (Tags, error) {
	var set Tags
	for _, name := range names {
		i := slices.Index(tagNames[:], name)
		if i < 0 || may&(1<<i) == 0 {
			return 0, fmt.Errorf("%q: want some of %s", name, strings.Join(may.Names(), ", "))
		}
		set |= 1 << i
	}
	return set, nil
}

// Validate names the first value that cannot work, by a setting.KeyError, where there is a key for it.
func (c Config) Validate() error {
	switch {
	case c.Window < 100*time.Millisecond || c.Window > time.Minute:
		return fmt.Errorf("window is %s, must be 100ms to 1m", c.Window)
	case c.Traffic.Interval != 0 && (c.Traffic.MaxKeys < 1 || c.Traffic.MaxKeys > maxRows):
		return setting.Errorf("traffic.max_keys", "%d: want 1 to %d", c.Traffic.MaxKeys, maxRows)
	case c.Conversation.Interval != 0 && (c.Conversation.Top < 1 || c.Conversation.Top > maxRows):
		return setting.Errorf("conversation.top", "%d: want 1 to %d", c.Conversation.Top, maxRows)
	case c.Activities.MaxKeys < 0 || c.Activities.MaxKeys > maxRows:
		return setting.Errorf("activities.max_keys", "%d: want 0 to %d", c.Activities.MaxKeys, maxRows)
	case c.Traffic.Tags&^TrafficTags != 0 || c.Conversation.Tags&^ConversationTags != 0:
		return fmt.Errorf("tags that the measurement does not have")
	}
	for name, interval := range map[string]time.Duration{"traffic": c.Traffic.Interval, "conversation": c.Conversation.Interval} {
		if interval != 0 && (interval < minInterval || interval > maxInterval || interval%time.Second != 0) {
			return setting.Errorf(name+".interval", "%s: want whole seconds from %s to %s", interval, minInterval, maxInterval)
		}
	}
	return nil
}

// Bounds of intervals. Below, the room for late rows within an interval becomes small.
const (
	minInterval = time.Second
	maxInterval = time.Hour
)

// intervals are those of the measurements that are on.
func (c Config) intervals() []int64 {
	var all []int64
	if c.Traffic.Interval > 0 {
		all = append(all, int64(c.Traffic.Interval))
	}
	if c.Conversation.Interval > 0 {
		all = append(all, int64(c.Conversation.Interval))
	}
	if c.Activities.MaxKeys > 0 {
		all = append(all, int64(time.Second))
	}
	return all
}

const (
	// slotRows is how many rows an interval can get from one window; it must never change, because row times hang on it.
	slotRows = 1 << 19
	// maxRows bounds the rows of a window that are not others: with those they fit a slot.
	maxRows = slotRows - 2*maxOthers
	// spareSlots is for conversations, whose window may have begun so many windows before the one that it ends with.
	spareSlots = 64
	// aheadTolerance is how far after the end of a window a record may lie: clocks differ.
	aheadTolerance = time.Minute
	// MaxSpan is the longest time that a record is spread over.
	MaxSpan = time.Hour
	// lateAfter is from when on a record is counted as late.
	lateAfter = time.Hour
	// longestLateness bounds how late rows can be, whatever the interval has room for.
	longestLateness = 48 * time.Hour
)

// aheadSlots is the slots for windows that come before the interval.
func (c Config) aheadSlots() int64 {
	return 2 + (int64(aheadTolerance)+int64(c.Window)-1)/int64(c.Window)
}

// maxLateness is how much older than its window a record can be for its rows to have slots in every measurement.
func (c Config) maxLateness() int64 {
	latest := int64(longestLateness)
	for _, interval := range c.intervals() {
		slots := max(interval/slotRows-c.aheadSlots()-spareSlots, 0)
		latest = min(latest, max(slots*int64(c.Window)-interval, 0)) // an hour's slots and windows of a minute are far from 64 bits
	}
	return latest
}
