package collector

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/store"
	"flowsensor/internal/store/files"
	"flowsensor/internal/store/influx"
)

// pipeline is the collector's parts, wired: sockets -> ingest -> pool -> writer.
type pipeline struct {
	server *ingest.Server
	pool   *store.Pool
	dead   *store.DeadLetters
	writer writer
}

// writer is a store.Writer with a life.
type writer interface {
	store.Writer
	io.Closer
}

// newPipeline opens and wires everything, or nothing. The sockets come last: from then on the kernel queues datagrams.
func newPipeline(c Config, log *slog.Logger) (_ *pipeline, err error) {
	p := &pipeline{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	opener, err := newOpener(c)
	if err != nil {
		return nil, err
	}
	if p.dead, err = store.OpenDeadLetters(store.DeadLetterConfig{
		Path: c.Store.DeadLetters.Path, MaxSize: int64(c.Store.DeadLetters.MaxSize),
	}); err != nil {
		return nil, err
	}
	if p.writer, err = newWriter(c.Store, log); err != nil {
		return nil, err
	}
	release := func(b *flow.Batch, o store.Outcome) { p.server.Settle(b, settled(o)) }
	if p.pool, err = store.NewPool(c.Store.pool(), store.Deps{Writer: p.writer, DeadLetters: p.dead, Release: release, Log: log}); err != nil {
		return nil, err
	}
	addresses, err := c.Ingest.addresses()
	if err != nil {
		return nil, configError(err)
	}
	p.server, err = ingest.Listen(ingest.Config{
		Listen: addresses, Processors: c.Ingest.Processors, ReceiveBuffer: c.Ingest.ReceiveBuffer.Int(),
	}, opener, log)
	return p, err
}

// newOpener loads the keys.
func newOpener(c Config) (*seal.Opener, error) {
	var sensors []seal.Sensor
	var errs []error
	for _, sc := range c.Sensors {
		s := seal.Sensor{ID: sc.ID}
		for _, path := range sc.KeyFiles {
			key, err := seal.LoadKeyFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("sensor %s: %w", sc.ID, err))
				continue
			}
			s.Keys = append(s.Keys, key)
		}
		var err error
		if s.Prefixes, err = prefixes(sc.Prefixes); err != nil {
			errs = append(errs, fmt.Errorf("sensor %s: %w", sc.ID, err))
		}
		sensors = append(sensors, s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, configError(err)
	}
	opener, err := seal.NewOpener(sensors, seal.Limits{TTL: c.Ingest.TTL.D(), Skew: c.Ingest.Skew.D()})
	if err != nil {
		return nil, configError(err)
	}
	return opener, nil
}

func newWriter(c StoreConfig, log *slog.Logger) (writer, error) {
	if c.Kind == kindInflux {
		return influx.Open(c.InfluxDB.influx())
	}
	return files.Open(c.files(), log)
}

// settled is what the sensor is to be told of a batch that the pool has done with.
func settled(o store.Outcome) ingest.Result {
	if o == store.Stored {
		return ingest.Durable
	}
	return ingest.Lost
}

// sink is where ingest hands its batches over. It never blocks.
func (p *pipeline) sink(b *flow.Batch) ingest.Verdict {
	if err := p.pool.Submit(b); err != nil {
		return ingest.Full
	}
	return ingest.Accepted
}

// close lets go of everything that is open. The pool must have been drained.
func (p *pipeline) close() error {
	var errs []error
	if p.server != nil {
		errs = append(errs, p.server.Close())
	}
	if p.writer != nil {
		errs = append(errs, p.writer.Close())
	}
	if p.dead != nil {
		errs = append(errs, p.dead.Close())
	}
	return errors.Join(errs...)
}
