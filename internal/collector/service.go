package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"flowsensor/internal/build"
	"flowsensor/internal/config"
	"flowsensor/internal/daemon"
	"flowsensor/internal/metrics"
)

// patience is how long a socket's goroutine may make no progress; it turns each second even without datagrams.
const patience = 5 * time.Second

// Service is the running collector; it implements daemon.Service.
type Service struct {
	path     string
	config   Config
	monitor  *daemon.Monitor
	log      *slog.Logger
	pipeline *pipeline
	page     *daemon.Page
	failed   chan error

	stopIngest, stopPool, stopPage context.CancelFunc

	ingest, pool, pages sync.WaitGroup
}

// NewService makes a collector that is not running yet. path is where Reload finds the configuration.
func NewService(path string, c Config, monitor *daemon.Monitor, log *slog.Logger) *Service {
	return &Service{path: path, config: c, monitor: monitor, log: log, failed: make(chan error, 1)}
}

// Run is `flow-collector run`: the daemon, until it is told to stop.
func Run(ctx context.Context, path string) error {
	c, err := Load(path)
	if err != nil {
		return configError(err)
	}
	log, err := daemon.NewLogger(c.Log.Level, c.Log.Format)
	if err != nil {
		return configError(err)
	}
	log.Info("starting", "version", build.Version(), "config", path)
	monitor := daemon.NewMonitor(patience, nil)
	return daemon.Run(ctx, NewService(path, c, monitor, log), daemon.Options{
		Log: log, Monitor: monitor, StopTimeout: stopTimeout,
	})
}

// Check is `flow-collector check`: it validates the configuration, loads the keys, and prints it with all defaults.
func Check(path string, out io.Writer) error {
	c, err := Load(path)
	if err != nil {
		return configError(err)
	}
	if _, err := newOpener(c); err != nil {
		return err
	}
	return config.Write(out, c)
}

// Start implements daemon.Service: when it returns every socket is bound and read.
func (s *Service) Start(ctx context.Context) error {
	p, err := newPipeline(s.config, s.log)
	if err != nil {
		return err
	}
	s.pipeline = p
	handler := metrics.Handler("flow_collector", metricDefs, s.readMetrics)
	if s.page, err = daemon.NewPage(s.config.HTTP.Listen, handler, s.monitor.Healthy); err != nil {
		return errors.Join(err, p.close())
	}
	life := context.WithoutCancel(ctx) // an end comes by Stop, in order
	receiving, stopIngest := context.WithCancel(life)
	writing, stopPool := context.WithCancel(life)
	serving, stopPage := context.WithCancel(life)
	s.stopIngest, s.stopPool, s.stopPage = stopIngest, stopPool, stopPage
	for i, sock := range p.server.Stats().Sockets {
		s.monitor.Watch(fmt.Sprintf("socket %d on %s", i, sock.Local), func() uint64 { return p.server.Stats().Sockets[i].Turns })
	}
	s.pool.Go(func() { s.fail(p.pool.Run(writing)) })
	s.ingest.Go(func() { s.fail(p.server.Run(receiving, p.sink)) })
	s.pages.Go(func() { s.fail(s.page.Run(serving)) })
	return nil
}

func (s *Service) fail(err error) {
	if err == nil {
		return
	}
	select {
	case s.failed <- err:
	default:
		s.log.Error("failed after the first failure", "err", err)
	}
}

// Failed implements daemon.Service.
func (s *Service) Failed() <-chan error { return s.failed }

// Stop implements daemon.Service: the sockets are read to their end, then the pool writes what it has. What is not
// written until ctx ends is counted.
func (s *Service) Stop(ctx context.Context) error {
	s.stopIngest()
	s.ingest.Wait()
	err := s.pipeline.pool.Drain(ctx)
	s.stopPool()
	s.pool.Wait()
	s.logEnd()
	s.stopPage()
	s.pages.Wait()
	return errors.Join(err, s.pipeline.close())
}

// logEnd states the ledger of this life.
func (s *Service) logEnd() {
	in, out := s.pipeline.server.Stats(), s.pipeline.pool.Stats()
	s.log.Info("ledger", "received_records", in.Accepted.Records+in.QueueFull.Records, "queue_full_records", in.QueueFull.Records,
		"submitted_records", out.Submitted.Records, "written_records", out.Written.Records,
		"dead_lettered_records", deadTotal(&out), "dropped_records", droppedTotal(&out))
}

// Status implements daemon.Service.
func (s *Service) Status() string {
	in, out := s.pipeline.server.Stats(), s.pipeline.pool.Stats()
	return fmt.Sprintf("%d records received from %d sensors, %d written, %d waiting, %d lost",
		in.Accepted.Records, heard(in.Sensors), out.Written.Records, out.Pending.Records, droppedTotal(&out))
}

// Reload implements daemon.Service: it takes over sensors, keys, prefixes, clock limits and the database's credentials.
func (s *Service) Reload(context.Context) error {
	next, err := Load(s.path)
	if err != nil {
		return err
	}
	opener, err := newOpener(next)
	if err != nil {
		return err
	}
	if w, ok := s.pipeline.writer.(interface{ Reload() error }); ok {
		if err := w.Reload(); err != nil {
			return err
		}
	}
	s.pipeline.server.SetOpener(opener)
	s.config.Sensors, s.config.Ingest.TTL, s.config.Ingest.Skew = next.Sensors, next.Ingest.TTL, next.Ingest.Skew
	if changed := config.Differences(s.config, next); len(changed) > 0 {
		s.log.Warn("sensors, keys and clock limits were read again; other changes need a restart", "sections", changed)
	}
	return nil
}

func configError(err error) error { return daemon.ConfigError{Err: err} }
