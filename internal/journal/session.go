package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowsensor/internal/flow"
)

const (
	// prefetch is how many messages may wait here for the writers.
	prefetch = 16
	// maxAckPending bounds the messages that are out; InFlight is the bound that is meant to be met.
	maxAckPending = 1024
	pullExpiry    = 10 * time.Second
	pullHeartbeat = 2 * time.Second
)

var (
	errGap      = errors.New("a message was lost between the journal and the writer")
	errFenced   = errors.New("another writer took the shard over")
	errUnstored = errors.New("a batch came back without being stored")
)

// session is one writer of one shard for as long as nothing unusual happens: the messages come in the order of the
// stream, each once. Whatever else happens ends it, and the next one begins at the first message that is left.
type session struct {
	*Reader
	shard int
	store *storage
	ahead *checkpoint // what is stored and what is handed on
	fail  context.CancelCauseFunc

	// What the reading goroutine knows.
	start     uint64 // messages up to here were stored by another session
	last      uint64 // position in the stream of the newest message
	delivered uint64 // the consumer's count of deliveries
	sensors   map[string]string
	fresh     []*flow.Batch

	// What the committing goroutine knows.
	stored   *checkpoint
	revision uint64
	coded    []byte

	committed atomic.Uint64 // position
	progress  chan struct{}

	mu    sync.Mutex // protects what follows
	queue []*flight
	idle  chan struct{} // closed when the queue becomes empty; nil when nobody waits
}

// flight is a message that is not acknowledged.
type flight struct {
	session  *session
	msg      jetstream.Msg
	position uint64
	marks    []mark
	pending  int // batches that are out; protected by the session's mu
}

func newSession(r *Reader, store *storage, shard int, name string) *session {
	return &session{
		Reader: r, store: store, shard: shard, sensors: make(map[string]string), progress: make(chan struct{}, 1),
		stored: &checkpoint{writer: name},
	}
}

// run writes the shard until it is told to stop or something unusual happens.
func (s *session) run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	messages, err := s.consume(ctx)
	if err != nil {
		return err
	}
	committing, end := context.WithCancel(ctx)
	var committer sync.WaitGroup
	committer.Go(func() { s.commit(committing) })
	defer committer.Wait()
	defer end()
	err = s.read(ctx, messages)
	messages.Stop()
	if err == nil || errors.Is(err, errGap) {
		s.waitIdle(ctx)
	}
	return err
}

// consume makes the shard's consumer anew: whatever the last writer had not acknowledged comes again at once.
func (s *session) consume(ctx context.Context) (jetstream.MessagesContext, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := "write-" + strconv.Itoa(s.shard)
	err := s.store.stream.DeleteConsumer(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("consumer %s: %w", name, err)
	}
	consumer, err := s.store.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: subjectOf(s.shard), AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.j.cfg.AckWait,
		MaxAckPending: maxAckPending, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", name, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(prefetch), jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", name, err)
	}
	return messages, nil
}

// read takes messages until it is told to stop.
func (s *session) read(ctx context.Context, messages jetstream.MessagesContext) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	for {
		msg, err := messages.Next(jetstream.NextContext(reading))
		if reading.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errGap, err)
		}
		if err := s.take(ctx, msg); err != nil { // whole messages, also when told to stop
			return err
		}
	}
}

// take puts a message into the queue and hands its batches on.
func (s *session) take(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != s.delivered+1 {
		return errGap
	}
	s.delivered++
	s.counters.messages.Add(1)
	position := meta.Sequence.Stream
	if position <= s.last { // the first delivery is in the queue, or was acknowledged
		s.counters.redelivered.Add(1)
		if position > s.committed.Load() {
			return nil
		}
		return msg.Ack()
	}
	s.last = position
	if position <= s.start {
		return msg.Ack()
	}
	f := &flight{session: s, msg: msg, position: position}
	fresh, err := s.unpack(f)
	if errors.Is(err, errVersion) {
		return err
	}
	if err != nil {
		if err := s.setAside(msg, position, err); err != nil {
			return err
		}
	}
	f.pending = len(fresh)
	s.push(f)
	for _, b := range fresh {
		if err := s.hand(ctx, f, b); err != nil {
			return err
		}
	}
	return nil
}

// unpack gives the batches of a message that are not known yet, and notes the marks of all.
func (s *session) unpack(f *flight) ([]*flow.Batch, error) {
	entries, err := readHeader(f.msg.Data())
	all := s.fresh[:0]
	for err == nil && len(entries) > 0 {
		b := s.batches.Get().(*flow.Batch)
		all = append(all, b)
		entries, err = readEntry(entries, b, s.intern)
	}
	s.fresh = all
	if err != nil {
		for _, b := range all {
			s.batches.Put(b)
		}
		return nil, err
	}
	fresh := all[:0]
	for _, b := range all {
		m := mark{sensor: b.Sensor, boot: b.Boot, seq: b.Seq, floor: b.Floor}
		f.marks = append(f.marks, m)
		if s.ahead.take(m) {
			fresh = append(fresh, b)
			continue
		}
		s.counters.duplicates.add(volumeOf(b))
		s.batches.Put(b)
	}
	return fresh, nil
}

func (s *session) intern(id []byte) string {
	text, known := s.sensors[string(id)]
	if !known {
		text = string(id)
		s.sensors[text] = text
	}
	return text
}

// setAside keeps a message that cannot be read as a file.
func (s *session) setAside(msg jetstream.Msg, position uint64, cause error) error {
	dir := filepath.Join(s.j.cfg.Dir, "unreadable")
	path := filepath.Join(dir, msg.Subject()+"-"+strconv.FormatUint(position, 10))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path, msg.Data(), 0o600); err != nil {
		return err
	}
	s.counters.unreadable.Add(1)
	s.j.log.Error("a message of the journal cannot be read and was set aside", "file", path, "error", cause)
	return nil
}

func (s *session) push(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, f)
	if f.pending == 0 {
		s.nudge()
	}
}

// settled notes that one batch of a message is stored.
func (s *session) settled(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.pending--
	if f.pending == 0 {
		s.nudge()
	}
}

func (s *session) nudge() {
	select {
	case s.progress <- struct{}{}:
	default:
	}
}

// waitIdle waits until all that was taken is committed.
func (s *session) waitIdle(ctx context.Context) {
	s.mu.Lock()
	if len(s.queue) == 0 {
		s.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	s.idle = idle
	s.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
