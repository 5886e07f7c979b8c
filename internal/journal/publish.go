package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Pauses between tries of one message.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
)

// JetStream's error codes for no room: insufficient resources, the server's or the account's limit, the stream's own.
const (
	codeResources    jetstream.ErrorCode = 10023
	codeStorage      jetstream.ErrorCode = 10047
	codeStreamFailed jetstream.ErrorCode = 10077
)

var errNoSpace = errors.New("the file system of the journal has no room left")

func subjectOf(shard int) string { return subjectPrefix + strconv.Itoa(shard) }

// Run publishes until Drain has settled everything that was taken, or ctx ends: what is then left is given back as
// Unknown.
func (a *Appender) Run(ctx context.Context) error {
	defer close(a.finished)
	session := rand.Text()
	var lanes sync.WaitGroup
	for _, l := range a.lanes {
		lanes.Go(func() { l.run(ctx, session) })
	}
	lanes.Wait()
	return nil
}

// Drain takes no more batches and returns once Run has settled those it took, or with an error when ctx ends first.
func (a *Appender) Drain(ctx context.Context) error {
	for _, l := range a.lanes {
		l.close()
	}
	select {
	case <-a.finished:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("journal: batches wait for the journal: %w", ctx.Err())
	}
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.nudge()
}

func (l *lane) run(ctx context.Context, session string) {
	trouble := trouble{log: l.j.log.With("subject", l.subject)}
	for number := 0; ; number++ {
		g := l.next(ctx)
		if g == nil {
			break
		}
		outcome := Durable
		if !l.publish(ctx, g, session+"-"+l.subject+"-"+strconv.Itoa(number), &trouble) {
			outcome = Unknown
		}
		l.settle(g, outcome)
	}
	l.close()
	for {
		g, _, _ := l.due()
		if g == nil {
			return
		}
		l.settle(g, Unknown)
	}
}

// publish repeats until JetStream has the message, and reports false when ctx ends first.
func (l *lane) publish(ctx context.Context, g *group, id string, trouble *trouble) bool {
	message := &nats.Msg{Subject: l.subject, Data: g.message}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		start := time.Now()
		err := l.try(ctx, message, id)
		if err == nil {
			l.setBlocked(room)
			l.counters.published(g, time.Since(start))
			trouble.is(nil, beginTrouble, endTrouble)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		l.counters.failures.Add(1)
		if isFull(err) {
			l.setBlocked(noRoom)
		}
		l.j.askRepair(err)
		trouble.is(err, beginTrouble, endTrouble)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

const (
	beginTrouble = "batches cannot be put into the journal; the sensors keep them"
	endTrouble   = "batches go into the journal"
)

// try publishes once.
func (l *lane) try(ctx context.Context, message *nats.Msg, id string) error {
	if err := l.j.wait(ctx); err != nil {
		return err
	}
	if s := l.j.server; s != nil && l.j.cfg.MinFree > 0 {
		free, err := s.free()
		if err != nil {
			return err
		}
		if free < l.j.cfg.MinFree+int64(len(message.Data)) {
			return errNoSpace
		}
	}
	patience := callTimeout
	if l.j.server == nil {
		patience = clusterPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := l.j.js.PublishMsg(ctx, message, jetstream.WithMsgID(id), jetstream.WithExpectStream(streamName),
		jetstream.WithRetryAttempts(0))
	return err
}

// isFull reports whether the journal refused for want of room.
func isFull(err error) bool {
	if errors.Is(err, errNoSpace) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == codeResources || api.ErrorCode == codeStorage || api.ErrorCode == codeStreamFailed)
}
