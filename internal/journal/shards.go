package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// shardsKey is the key of the number of shards that the sensors of this journal are divided among.
const shardsKey = "shards"

// ErrShards says that the sensors are divided among another number of shards, and messages wait.
var ErrShards = errors.New("divided among another number of shards")

// shardOf places a sensor: FNV-1a, the same in every release, because the checkpoint of a sensor is its shard's.
func shardOf(sensor string, shards int) int {
	h := uint32(2166136261)
	for i := range len(sensor) {
		h = (h ^ uint32(sensor[i])) * 16777619
	}
	return int(h % uint32(shards))
}

// divideTimeout bounds the change of a journal to another number of shards.
const divideTimeout = 6 * callTimeout

// divide has each checkpoint know the sensors of its shard, where the number of shards has changed: a batch that comes again
// must be found in another shard than the first time. It is refused while messages wait that were divided in the old way.
func (j *Journal) divide(ctx context.Context, s *storage) error {
	ctx, cancel := context.WithTimeout(ctx, divideTimeout)
	defer cancel()
	number := []byte(strconv.Itoa(j.cfg.Shards))
	entry, err := s.bucket.Get(ctx, shardsKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		if _, err = s.bucket.Create(ctx, shardsKey, number); !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
		entry, err = s.bucket.Get(ctx, shardsKey) // another process was quicker
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", shardsKey, err)
	}
	before, err := strconv.Atoi(string(entry.Value()))
	if err == nil && before == j.cfg.Shards {
		return nil
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", streamName, err)
	}
	if n := info.State.Msgs; n > 0 {
		return fmt.Errorf("%w: journal.shards is %d, and %d messages wait that were divided among %s: set it back until the journal is empty",
			ErrShards, j.cfg.Shards, n, entry.Value())
	}
	if err := redistribute(ctx, s.bucket, j.cfg.Shards); err != nil {
		return fmt.Errorf("divide the sensors among %d shards: %w", j.cfg.Shards, err)
	}
	if _, err := s.bucket.Update(ctx, shardsKey, number, entry.Revision()); err != nil {
		return fmt.Errorf("write %s: %w", shardsKey, err)
	}
	j.log.Info("the sensors are divided among another number of shards", "before", string(entry.Value()), "now", j.cfg.Shards)
	return nil
}

// stood is a checkpoint as it stands in the bucket.
type stood struct {
	*checkpoint

	revision uint64
}

// redistribute gives each checkpoint the sensors of its shard, in two steps, so that nothing is forgotten by an end in
// between: first they get what others know, then they let go of what is others'.
func redistribute(ctx context.Context, bucket jetstream.KeyValue, shards int) error {
	all, err := allCheckpoints(ctx, bucket)
	if err != nil {
		return err
	}
	everything := newCheckpoint()
	for _, c := range all {
		everything.merge(c.checkpoint)
	}
	for id, k := range everything.sensors {
		home := checkpointKey(shardOf(id, shards))
		if all[home] == nil {
			all[home] = &stood{checkpoint: newCheckpoint()}
		}
		all[home].sensors[id] = k
	}
	if err := putAll(ctx, bucket, all); err != nil {
		return err
	}
	for key, c := range all {
		maps.DeleteFunc(c.sensors, func(id string, _ *known) bool { return checkpointKey(shardOf(id, shards)) != key })
	}
	return putAll(ctx, bucket, all)
}

// allCheckpoints reads those of every shard, by key. One that cannot be read is left to its own session.
func allCheckpoints(ctx context.Context, bucket jetstream.KeyValue) (map[string]*stood, error) {
	keys, err := bucket.ListKeysFiltered(ctx, checkpointPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	defer func() { _ = keys.Stop() }()
	all := make(map[string]*stood)
	for key := range keys.Keys() {
		entry, err := bucket.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		if c, err := readCheckpoint(entry.Value()); err == nil {
			all[key] = &stood{checkpoint: c, revision: entry.Revision()}
		}
	}
	return all, nil
}

// putAll writes checkpoints under a name of its own: a session that still has one is fenced off.
func putAll(ctx context.Context, bucket jetstream.KeyValue, all map[string]*stood) error {
	for key, c := range all {
		c.writer = shardsKey
		revision, err := bucket.Update(ctx, key, c.append(nil), c.revision)
		if err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
		c.revision = revision
	}
	return nil
}

// merge adds what another checkpoint knows of sensors.
func (c *checkpoint) merge(other *checkpoint) {
	for id, theirs := range other.sensors {
		ours := c.sensors[id]
		if ours == nil {
			c.sensors[id] = theirs
			continue
		}
		ours.heard = max(ours.heard, theirs.heard)
		ours.boots.merge(theirs.boots)
	}
}

// merge adds what is known of other boots and of the same ones. The newest are kept.
func (w *windows) merge(others windows) {
	for i := range others {
		at, found := w.find(others[i].boot)
		if found {
			(*w)[at].merge(&others[i])
		} else {
			*w = slices.Insert(*w, at, others[i])
		}
	}
	if extra := len(*w) - maxBoots; extra > 0 {
		*w = slices.Delete(*w, 0, extra)
	}
}

// merge adds the numbers that were taken in another window of the boot.
func (w *window) merge(other *window) {
	theirs := *other
	theirs.raise(w.floor)
	w.raise(theirs.floor)
	for i, word := range theirs.bits {
		w.bits[i] |= word
	}
	w.settle()
}
