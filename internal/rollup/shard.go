package rollup

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"flowsensor/internal/flow"
)

// Edge says what the end of a window ends.
type Edge uint8

// The edges.
const (
	// Tick ends traffic and activities; conversations go on.
	Tick Edge = iota + 1
	// Full ends everything.
	Full
)

// Shard gathers the batches of one shard of the journal. NewShard makes one.
type Shard struct {
	cfg      Config
	seed     uint64
	counters *counters

	// Of the window.
	start     int64
	limits    limits
	networks  flow.Networks
	names     *names
	gathering bool // since the last Full edge

	traffic       *traffic
	conversations *conversations
	activities    *activities

	parts []part

	spareTraffic       chan *traffic
	spareConversations chan *conversations
	spareActivities    chan *activities
}

// NewShard makes a shard without a window: Open comes first.
func NewShard(cfg Config) (*Shard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("rollup: %w", err)
	}
	return &Shard{
		cfg: cfg, seed: rand.Uint64(), counters: new(counters), names: newNames(maxNames),
		spareTraffic: make(chan *traffic, 1), spareConversations: make(chan *conversations, 1), spareActivities: make(chan *activities, 1),
	}, nil
}

// Open begins the window with that number: journal time in units of Config.Window, higher than that of any window that
// was closed before. The networks are those that the attributions up to the next Full edge speak of: they are looked at
// after a Full edge only.
func (s *Shard) Open(number int64, networks flow.Networks) {
	window := int64(s.cfg.Window)
	s.start = number * window
	s.limits = limits{
		oldest: max(s.start-s.cfg.maxLateness(), 0), newest: s.start + window + int64(aheadTolerance),
		late: s.start - int64(lateAfter),
	}
	if !s.gathering {
		s.gathering, s.networks = true, networks
		s.names.reset()
	}
	if s.cfg.Traffic.Interval > 0 && s.traffic == nil {
		s.traffic = take(s.spareTraffic, func() *traffic {
			return newMeasure[trafficKey, volume](s.seed, int64(s.cfg.Traffic.Interval), s.cfg.Traffic.MaxKeys)
		})
		s.traffic.reset()
	}
	if s.cfg.Conversation.Interval > 0 && s.conversations == nil {
		s.conversations = take(s.spareConversations, func() *conversations { return newConversations(s.seed, &s.cfg.Conversation) })
		s.conversations.reset()
	}
	if s.cfg.Activities.MaxKeys > 0 && s.activities == nil {
		s.activities = take(s.spareActivities, func() *activities {
			return newMeasure[activityKey, volume](s.seed, 1e9, s.cfg.Activities.MaxKeys)
		})
		s.activities.reset()
	}
}

func take[T any](spare <-chan *T, fresh func() *T) *T {
	select {
	case t := <-spare:
		return t
	default:
		return fresh()
	}
}

func giveBack[T any](spare chan<- *T, t *T) {
	if t == nil {
		return
	}
	select {
	case spare <- t:
	default:
	}
}

// where is what the records of a batch have in common, and the interface that was looked up last.
type where struct {
	batch  *flow.Batch
	sensor uint32
	index  uint32
	iface  uint32
	known  bool
}

// Add takes the records of a batch into the open window, but those that a rule discards, and those that no sensor makes.
// attributions go with the records by their index.
func (s *Shard) Add(b *flow.Batch, attributions []flow.Attribution) {
	at := where{batch: b, sensor: s.names.number(b.Sensor)}
	var st Stats
	for i := range b.Records {
		r, a := &b.Records[i], &attributions[i]
		switch {
		case a.Drop:
			st.Discarded++
			continue
		case r.Validate() != nil:
			st.Invalid++
			continue
		}
		st.Records++
		st.Packets += r.Packets
		st.Bytes += r.Bytes
		cut := s.limits.cut(r, &st.Unusual)
		s.add(&at, r, a, cut)
	}
	s.counters.add(&st)
}

func (s *Shard) add(at *where, r *flow.Record, a *flow.Attribution, cut span) {
	interval := int64(0) // that s.parts is for
	if s.traffic != nil {
		interval = s.traffic.interval
		s.parts = spread(s.parts[:0], r, cut, interval)
		s.addTraffic(at, r, a)
	}
	if s.conversations != nil {
		if interval != s.conversations.interval {
			s.parts = spread(s.parts[:0], r, cut, s.conversations.interval)
		}
		s.addConversation(at, r, a)
	}
	if s.activities != nil {
		s.parts = seconds(s.parts[:0], r, cut)
		s.addActivities(at, r)
	}
}

// iface gives the number of the interface's name, of its index where the sensor did not name it.
func (s *Shard) iface(at *where, index uint32) uint32 {
	if at.known && at.index == index {
		return at.iface
	}
	name := at.batch.InterfaceName(index)
	if name == "" {
		name = strconv.FormatUint(uint64(index), 10)
	}
	at.index, at.iface, at.known = index, s.names.numberWithin(name, maxInterfaces), true
	return at.iface
}

// Close ends the window.
func (s *Shard) Close(edge Edge) *Increment {
	inc := &Increment{
		shard: s, cfg: &s.cfg, window: s.start, networks: s.networks, names: s.names.list, traffic: s.traffic, activities: s.activities,
	}
	if m := s.traffic; m != nil {
		s.counters.gathered(MeasureTraffic, m.cells.count, m.overflow)
	}
	if m := s.activities; m != nil {
		s.counters.gathered(MeasureActivities, m.cells.count, m.overflow)
	}
	s.traffic, s.activities = nil, nil
	if edge == Full {
		if m := s.conversations; m != nil {
			s.counters.gathered(MeasureConversation, m.cells.count, m.overflow)
			s.counters.uncounted.Add(m.uncounted)
		}
		inc.conversations, s.conversations, s.gathering = s.conversations, nil, false
	}
	return inc
}
