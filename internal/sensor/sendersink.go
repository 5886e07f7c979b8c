package sensor

import (
	"context"
	"errors"
	"fmt"

	"flowsensor/internal/daemon"
	"flowsensor/internal/export"
	"flowsensor/internal/flow"
)

// senderSink sends the records to the collector. It waits for the sender instead of dropping: a file is in no hurry.
type senderSink struct {
	ctx      context.Context // ends the waiting
	sender   *export.Sender
	batchers map[string]*export.Batcher // by interface name
	stop     context.CancelFunc
	done     chan error
}

func newSenderSink(ctx context.Context, c Config) (*senderSink, error) {
	log, err := daemon.NewLogger(c.Log.Level, c.Log.Format)
	if err != nil {
		return nil, configError(err)
	}
	sender, err := newSender(c, export.InMemory, nil, log)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	s := &senderSink{ctx: ctx, sender: sender, batchers: make(map[string]*export.Batcher), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- sender.Run(running) }()
	return s, nil
}

func (s *senderSink) emit(r *flow.Record, iface string) {
	b := s.batchers[iface]
	if b == nil {
		b = s.sender.Batcher(iface)
		b.WaitForRoom(s.ctx)
		s.batchers[iface] = b
	}
	b.Add(r)
}

// close sends what is left. The kernel took every datagram then; what the network and the collector do with them they count.
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
	if lost := stats.DroppedTotal(); lost.Records > 0 {
		err = errors.Join(err, fmt.Errorf("%d records were not sent", lost.Records))
	}
	return errors.Join(err, s.sender.Close())
}
