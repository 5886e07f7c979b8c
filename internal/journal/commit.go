package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const checkpointPrefix = "checkpoint."

func checkpointKey(shard int) string { return checkpointPrefix + strconv.Itoa(shard) }

func (s *session) checkpointKey() string { return checkpointKey(s.shard) }

// begin reads the checkpoint and writes it back under this session's name: from then on no other session can store one.
func (s *session) begin(ctx context.Context) error {
	created, err := s.created(ctx)
	if err != nil {
		return err
	}
	for {
		c, revision, err := s.load(ctx)
		if err != nil {
			return err
		}
		if c.created != created {
			c.created, c.position, c.edges = created, 0, nil
		}
		c.passEdges()
		c.writer = s.stored.writer
		s.stored, s.revision = c, revision
		err = s.put(ctx)
		if err == nil {
			s.start = c.position
			s.last = c.position
			s.committed.Store(c.position)
			s.ahead = c.clone()
			return nil
		}
		if !isConflict(err) {
			return err
		}
		// A replica that is behind gave an old one, or another writer was quicker: then the lease will tell.
		if err := pauseFor(ctx, firstPause); err != nil {
			return err
		}
	}
}

// created asks when the stream was made.
func (s *session) created(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := s.store.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", streamName, err)
	}
	return info.Created.UnixNano(), nil
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// load reads the checkpoint; where there is none it is empty. One that cannot be read is set aside: what it knew is
// written again, as the same points.
func (s *session) load(ctx context.Context) (*checkpoint, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	entry, err := s.store.bucket.Get(ctx, s.checkpointKey())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return newCheckpoint(), 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", s.checkpointKey(), err)
	}
	c, err := readCheckpoint(entry.Value())
	if err == nil {
		return c, entry.Revision(), nil
	}
	if errors.Is(err, errVersion) {
		return nil, 0, err
	}
	path := filepath.Join(s.j.cfg.Dir, "unreadable", s.checkpointKey())
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, entry.Value(), 0o600)); err != nil {
		return nil, 0, err
	}
	s.j.log.Error("the checkpoint of a shard cannot be read and was set aside; batches may be written again, as the same points",
		"file", path, "error", err)
	return newCheckpoint(), entry.Revision(), nil
}

// put writes the checkpoint over the revision that is known.
func (s *session) put(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s.coded = s.stored.append(s.coded[:0])
	s.measure()
	revision, err := s.store.bucket.Update(ctx, s.checkpointKey(), s.coded, s.revision)
	if errors.Is(err, nats.ErrMaxPayload) {
		err = fmt.Errorf("%w: %s", err, crowdedRemedy)
	}
	if err != nil {
		return fmt.Errorf("write %s (%d bytes): %w", s.checkpointKey(), len(s.coded), err)
	}
	s.revision = revision
	s.counters.checkpoints.Add(1)
	return nil
}

const (
	saveTrouble = "the checkpoint of a shard cannot be stored: what was written stays in the journal until it can"
	saveEnd     = "the checkpoint is stored"
)

const crowdedRemedy = "raise max_payload of the NATS servers, or divide the sensors among more journal.shards"

var errCrowded = errors.New("three quarters of the longest message that the NATS server takes: " + crowdedRemedy)

// measure tells of a checkpoint's size, and warns before it is too much.
func (s *session) measure() {
	most := s.j.conn.MaxPayload()
	s.sized(s.shard, len(s.coded), most)
	var err error
	if int64(len(s.coded)) > most/4*3 {
		err = errCrowded
	}
	s.crowding.is(err, "the checkpoint of a shard grows too long", "it is short enough")
}

// save puts the checkpoint until it stands or is another's to put.
func (s *session) save(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := s.put(ctx)
		if err == nil {
			s.saving.is(nil, saveTrouble, saveEnd)
			return nil
		}
		if ctx.Err() == nil {
			s.j.askRepair(err)
			if !isConflict(err) {
				s.saving.is(s.j.explain(err), saveTrouble, saveEnd)
			}
		}
		if isConflict(err) {
			c, revision, err := s.load(ctx)
			if err == nil && c.writer != s.stored.writer {
				return errFenced
			}
			if err == nil && revision > s.revision {
				s.revision = revision // our own write, whose answer got lost
			}
		}
		if err := pauseFor(ctx, pause); err != nil {
			return err
		}
	}
}

// note notes what the messages hold as stored.
func (s *session) note(head []*flight) {
	for _, f := range head {
		for _, m := range f.marks {
			s.stored.take(m, f.at)
		}
		s.stored.forget(min(f.at, time.Now().Unix()))
	}
}

// commit takes messages out of the journal: those at the head of the queue whose batches are all stored. First the
// checkpoint, then the acknowledgements.
func (s *session) commit(ctx context.Context) {
	for {
		select {
		case <-s.progress:
		case <-ctx.Done():
			return
		}
		head := s.head()
		if len(head) == 0 {
			continue
		}
		s.note(head)
		s.stored.position = head[len(head)-1].position
		if err := s.save(ctx); err != nil {
			s.fail(err)
			return
		}
		s.acknowledge(head)
	}
}

// The words of JetStream's protocol (ADR-15): the messages that they answer are not kept.
var (
	acknowledgement = []byte("+ACK")
	inProgress      = []byte("+WPI")
)

// acknowledge takes the messages at the head of the queue out of the journal. Their checkpoint is stored.
func (s *session) acknowledge(head []*flight) {
	s.committed.Store(s.stored.position)
	for _, f := range head {
		_ = s.j.conn.Publish(f.reply, acknowledgement) // one that gets lost is asked for again
	}
	s.pop(len(head))
}

// head gives the messages that can be committed.
func (s *session) head() []*flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.queue) && s.queue[n].pending == 0 {
		n++
	}
	return s.queue[:n:n]
}

func (s *session) pop(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append([]*flight(nil), s.queue[n:]...)
	if len(s.queue) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// prolong asks for patience with what is still being stored.
func (s *session) prolong() {
	s.mu.Lock()
	queue := slices.Clip(s.queue)
	s.mu.Unlock()
	for _, f := range queue {
		_ = s.j.conn.Publish(f.reply, inProgress)
	}
}
