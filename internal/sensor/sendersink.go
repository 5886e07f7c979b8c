package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"flowsensor/internal/daemon"
	"flowsensor/internal/export"
	"flowsensor/internal/flow"
)

// maxIfaceNames bounds the batchers, each of which holds memory for its batch.
const maxIfaceNames = 64

// fileQueue is how many groups of records wait for the sender while files are read, at most: the reader waits for it in any case, and
// what waits shortly is still in the cache.
const fileQueue = 8

// senderSink sends the records to the collector. It waits for the sender instead of dropping: a file is in no hurry.
type senderSink struct {
	ctx      context.Context // ends the waiting
	log      *slog.Logger
	sender   *export.Sender
	batchers map[string]*export.Batcher // by interface name
	stop     context.CancelFunc
	done     chan error
}

func newSenderSink(ctx context.Context, c Config) (*senderSink, error) {
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	// The stamps and the boot go on from those of the daemon of this id, which must not run meanwhile: the state file is
	// locked. Only warnings, for the ledger comes on the same stderr.
	log, err := daemon.NewLogger("warn", c.Log.Format)
	if err != nil {
		return nil, configError(err)
	}
	c.Export.Queue = min(c.Export.Queue, fileQueue)
	sender, err := newSender(c, export.Refuse, nil, log)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	s := &senderSink{ctx: ctx, log: log, sender: sender, batchers: make(map[string]*export.Batcher), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- sender.Run(running) }()
	return s, nil
}

func (s *senderSink) emit(r *flow.Record, iface string) { s.batcher(iface).Add(r) }

func (s *senderSink) answer(a *flow.DNSAnswer) { s.batcher("").AddAnswer(a) }

func (s *senderSink) batcher(iface string) *export.Batcher {
	if len(s.batchers) >= maxIfaceNames {
		iface = "" // a file may name very many; the rest goes without names
	}
	b := s.batchers[iface]
	if b == nil {
		b = s.sender.Batcher(iface)
		b.WaitForRoom(s.ctx)
		s.batchers[iface] = b
	}
	return b
}

// close sends what is left, and waits a while for the collector to acknowledge it where it does that. What is not acknowledged
// then stays in the spool, if there is one.
func (s *senderSink) close() error {
	for _, b := range s.batchers {
		b.Close()
	}
	s.stop()
	err := <-s.done
	drain, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), stopTimeout)
	defer cancel()
	err = errors.Join(err, s.sender.Drain(drain))
	stats := s.sender.Stats()
	if kept := stats.Pending.Records; kept > 0 {
		s.log.Warn("the collector has not acknowledged all: what is left is in the spool, for the next run of this configuration", "records", kept)
	}
	if lost := stats.DroppedTotal(); lost.Records > 0 {
		err = errors.Join(err, fmt.Errorf("%d records were not sent", lost.Records))
	}
	return errors.Join(err, s.sender.Close())
}
