package journal

import (
	"errors"
	"sync/atomic"
	"time"

	"flowsensor/internal/flow"
)

// Stats is the state of the whole journal, at most a few seconds old.
type Stats struct {
	// Up says that JetStream answered when it was asked last.
	Up bool
	// Messages and Bytes wait in the stream, as far as it is known; MaxBytes is what it holds at most.
	Messages, Bytes, MaxBytes uint64
	// Age of the oldest message; 0 where there is none.
	Age time.Duration
}

// Stats is a copy.
func (j *Journal) Stats() Stats {
	s := j.state.Load()
	st := Stats{Up: j.up.Load(), Messages: s.messages, Bytes: s.bytes, MaxBytes: uint64(max(s.max, 0))}
	if !s.oldest.IsZero() {
		st.Age = max(time.Since(s.oldest), 0)
	}
	return st
}

// AppendStats counts since the Appender was made: Appended = Published + Unknown + what Pending says.
type AppendStats struct {
	Appended flow.Volume // taken
	Full     flow.Volume // refused with ErrFull
	Refused  flow.Volume // refused with another error
	// Batches published, and given back without.
	Published, Unknown uint64
	Messages           uint64 // published
	Octets             uint64 // in them
	Failures           uint64 // tries to publish that were repeated
	PublishTime        time.Duration
	// Pending is the octets that wait for JetStream; Blocked the shards whose last message found no room.
	Pending, Blocked int
}

type appendCounters struct {
	appended, full, refused  flow.VolumeCounter
	batches, unknown         atomic.Uint64
	messages, octets         atomic.Uint64
	failures, publishSeconds atomic.Uint64
}

func (c *appendCounters) count(v flow.Volume, err error) {
	switch {
	case err == nil:
		c.appended.Add(v)
	case errors.Is(err, ErrFull):
		c.full.Add(v)
	default:
		c.refused.Add(v)
	}
}

func (c *appendCounters) published(g *group, took time.Duration) {
	c.batches.Add(uint64(len(g.batches)))
	c.messages.Add(1)
	c.octets.Add(uint64(len(g.message)))
	c.publishSeconds.Add(uint64(took))
}

// Stats is a copy.
func (a *Appender) Stats() AppendStats {
	c := &a.counters
	st := AppendStats{
		Appended: c.appended.Load(), Full: c.full.Load(), Refused: c.refused.Load(),
		Published: c.batches.Load(), Unknown: c.unknown.Load(), Messages: c.messages.Load(), Octets: c.octets.Load(),
		Failures: c.failures.Load(), PublishTime: time.Duration(c.publishSeconds.Load()),
	}
	for _, l := range a.lanes {
		l.mu.Lock()
		st.Pending += l.size
		if l.blocked {
			st.Blocked++
		}
		l.mu.Unlock()
	}
	return st
}

// ReadStats counts since the Reader was made.
type ReadStats struct {
	Submitted  flow.Volume // handed on
	Stored     flow.Volume // of these, settled as stored
	Duplicates flow.Volume // known to the checkpoint, or taken before in this session: skipped
	Messages   uint64      // read
	Redelivered,
	Checkpoints, // stored
	Sessions, // begun: this process became the writer of a shard
	Fenced, // ended because another writer took over
	Windows, // gathered and stored
	Changed, // stored again under another configuration: of their rows some may stand twice
	Unreadable uint64 // messages set aside
	// CheckpointBytes is the size of the longest checkpoint that this process wrote for a shard, CheckpointMax what the NATS
	// server takes.
	CheckpointBytes, CheckpointMax uint64
	// Active is the number of shards that this process writes.
	Active int
	// InFlight is the records handed on that are not settled.
	InFlight int
}

type readCounters struct {
	submitted, stored, duplicates                                                              flow.VolumeCounter
	messages, redelivered, checkpoints, sessions, fenced, unreadable, active, windows, changed atomic.Uint64
}
