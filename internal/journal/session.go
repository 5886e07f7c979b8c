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
	// maxAckPending bounds the messages that are out; InFlight is the bound that is meant to be met. Where windows are
	// gathered two of them can be out, and what is prefetched.
	maxAckPending         = 1024
	maxAckPendingGathered = 2*maxGathered + 2*prefetch
	pullExpiry            = 10 * time.Second
	pullHeartbeat         = 2 * time.Second
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
	begun func() // called when the first message may come

	windows *gathering // nil where each message is committed by itself

	// What the reading goroutine knows.
	start     uint64 // messages up to here were stored by another session
	last      uint64 // position in the stream of the newest message
	delivered uint64 // the consumer's count of deliveries
	sensors   map[string]string
	fresh     []*flow.Batch
	hurried   bool // windows end as soon as nothing more comes

	// What the committing goroutine knows.
	stored   *checkpoint
	revision uint64
	coded    []byte
	saving   trouble
	crowding trouble

	committed atomic.Uint64 // position
	progress  chan struct{}

	mu    sync.Mutex // protects what follows
	queue []*flight
	idle  chan struct{} // closed when the queue becomes empty; nil when nobody waits
}

// flight is a message that is not acknowledged.
type flight struct {
	session  *session
	reply    string // where the acknowledgement goes; the message itself is not kept
	position uint64
	at       int64 // journal time, seconds since the epoch
	marks    []mark
	pending  int // batches that are out; protected by the session's mu
}

func newSession(r *Reader, store *storage, shard int, name string) *session {
	s := &session{
		Reader: r, store: store, shard: shard, sensors: make(map[string]string), progress: make(chan struct{}, 1),
		stored: &checkpoint{writer: name},
	}
	log := r.j.log.With("subject", subjectOf(shard))
	s.saving, s.crowding = trouble{log: log}, trouble{log: log}
	if r.gather != nil && r.j.cfg.Window > 0 {
		s.windows = newGathering(s, r.gather(shard))
	}
	return s
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
	s.begun()
	committing, end := context.WithCancel(ctx)
	var committer sync.WaitGroup
	if s.windows != nil {
		s.windows.begin(s.stored)
		committer.Go(func() { s.commitWindows(committing) })
	} else {
		committer.Go(func() { s.commit(committing) })
	}
	committer.Go(func() { s.keep(committing) })
	defer committer.Wait()
	defer end()
	err = s.read(ctx, messages)
	messages.Stop()
	if err == nil || errors.Is(err, errGap) || errors.Is(err, errVersion) {
		s.finish(ctx)
	}
	return err
}

// finish waits until what was taken is committed; a window that is open ends for it.
func (s *session) finish(ctx context.Context) {
	if s.windows != nil {
		if all, err := s.windows.finish(ctx); err != nil || !all {
			return
		}
	}
	s.waitIdle(ctx)
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
	pending := maxAckPending
	if s.windows != nil {
		pending = maxAckPendingGathered
	}
	consumer, err := s.store.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: subjectOf(s.shard), AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.ackWait(),
		MaxAckPending: pending, DeliverPolicy: jetstream.DeliverAllPolicy,
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

// delivery is what came of waiting for a message.
type delivery struct {
	msg jetstream.Msg
	err error
}

// deliver waits for messages on a goroutine of its own, so that the reading one can wait for something else as well.
func deliver(ctx context.Context, messages jetstream.MessagesContext, to chan<- delivery) {
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		select {
		case to <- delivery{msg, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// read takes messages until it is told to stop.
func (s *session) read(ctx context.Context, messages jetstream.MessagesContext) error {
	reading, cancel := context.WithCancel(ctx)
	var delivering sync.WaitGroup
	defer delivering.Wait()
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	deliveries := make(chan delivery)
	delivering.Go(func() { deliver(reading, messages, deliveries) })
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	draining := s.draining
	for {
		s.setTimer(due)
		select {
		case d := <-deliveries:
			if reading.Err() != nil {
				return nil
			}
			if d.err != nil {
				return fmt.Errorf("%w: %w", errGap, d.err)
			}
			if err := s.take(ctx, d.msg); err != nil { // whole messages, also when told to stop
				return err
			}
		case <-due.C:
			if err := s.timeIsUp(ctx); err != nil {
				return err
			}
		case <-draining:
			s.hurried, draining = true, nil
		case <-reading.Done():
			return nil
		}
	}
}

// setTimer sets the timer for when a window ends.
func (s *session) setTimer(due *time.Timer) {
	switch {
	case s.windows == nil:
	case s.hurried:
		due.Reset(drainPause)
	default:
		due.Reset(s.windows.wait())
	}
}

// timeIsUp ends a window whose time is over, or for the end of everything.
func (s *session) timeIsUp(ctx context.Context) error {
	switch {
	case s.windows == nil:
		return nil
	case s.hurried:
		_, err := s.windows.finish(ctx)
		return err
	default:
		return s.windows.tick(ctx)
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
	if position <= s.start {
		s.last = position
		return msg.Ack()
	}
	if s.windows != nil {
		if err := s.windows.before(ctx, position, meta.Timestamp, len(msg.Data())); err != nil {
			return err
		}
	}
	s.last = position
	f := &flight{session: s, reply: msg.Reply(), position: position, at: meta.Timestamp.Unix()}
	s.ahead.forget(min(f.at, time.Now().Unix()))
	fresh, err := s.unpack(f, msg.Data())
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
		if s.windows != nil {
			s.windows.Add(b)
		}
		if err := s.hand(ctx, f, b); err != nil {
			return err
		}
	}
	if s.windows != nil {
		return s.windows.after(ctx, position, meta.Timestamp)
	}
	return nil
}

// unpack gives the batches of a message that are not known yet, and notes the marks of all.
func (s *session) unpack(f *flight, message []byte) ([]*flow.Batch, error) {
	entries, err := readHeader(message)
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
		if s.ahead.take(m, f.at) {
			fresh = append(fresh, b)
			continue
		}
		s.counters.duplicates.Add(flow.VolumeOf(b))
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
