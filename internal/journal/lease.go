package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lease makes one writer of a shard at a time: a key that its holder writes again and again. Who wants it watches the
// key's revision; when that stands still for the whole TTL by the watcher's own clock the holder is gone. No two clocks
// are compared. A holder that stopped unawares for longer, a suspended machine, may write to the database once more, but
// it can store no checkpoint. Not safe for concurrent use.
type lease struct {
	bucket   jetstream.KeyValue
	key      string
	owner    string
	ttl      time.Duration
	alone    bool   // no other process can hold it: what stands there is an earlier life's
	revision uint64 // of the key as we know it

	seen  uint64 // the revision that another holder was seen with
	since time.Time
}

var (
	errLeaseLost = errors.New("the lease went to another writer")
	errLeaseHeld = errors.New("another writer holds the lease")
)

// isConflict reports whether a key was changed by somebody else.
func isConflict(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// take tries to get the lease: nil, errLeaseHeld, or what else is in the way. A free lease has no value.
func (l *lease) take(ctx context.Context) error {
	entry, err := l.bucket.Get(ctx, l.key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		l.revision = 0
	case err != nil:
		return fmt.Errorf("read %s: %w", l.key, err)
	default:
		l.revision = entry.Revision()
		if l.seen != l.revision {
			l.seen, l.since = l.revision, time.Now()
		}
		if len(entry.Value()) > 0 && !l.alone && time.Since(l.since) < l.ttl {
			return errLeaseHeld
		}
	}
	err = l.write(ctx, l.owner)
	if isConflict(err) {
		return errLeaseHeld
	}
	return err
}

// keep renews the lease until ctx ends, and gives an error when it is lost.
func (l *lease) keep(ctx context.Context) error {
	ticker := time.NewTicker(l.ttl / 3)
	defer ticker.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		start := time.Now()
		err := l.renew(ctx)
		switch {
		case err == nil:
			renewed = start
		case errors.Is(err, errLeaseLost) || time.Since(renewed) > l.ttl*2/3:
			return err
		}
	}
}

func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.ttl/3)
	defer cancel()
	err := l.write(ctx, l.owner)
	if !isConflict(err) {
		return err
	}
	// A write whose answer got lost has changed the revision as well.
	entry, err := l.bucket.Get(ctx, l.key)
	if err != nil {
		return err
	}
	if string(entry.Value()) != l.owner {
		return errLeaseLost
	}
	l.revision = max(l.revision, entry.Revision())
	return nil
}

// release lets another have the lease at once.
func (l *lease) release() {
	ctx, cancel := context.WithTimeout(context.Background(), l.ttl)
	defer cancel()
	_ = l.write(ctx, "") // what cannot be written runs out by itself
}

func (l *lease) write(ctx context.Context, value string) error {
	revision, err := l.bucket.Update(ctx, l.key, []byte(value), l.revision)
	if err != nil {
		return fmt.Errorf("write %s: %w", l.key, err)
	}
	l.revision = revision
	return nil
}
