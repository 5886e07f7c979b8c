package sensor

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/daemon"
	"flowsensor/internal/export"
	"flowsensor/internal/metrics"
	"flowsensor/internal/seal"
	"flowsensor/internal/setting"
)

// Times of the daemon's life.
const (
	// stopTimeout bounds the whole end: rings drained, tables flushed, records sent.
	stopTimeout = 10 * time.Second
	// sendTimeout of it is left to the sender.
	sendTimeout = 8 * time.Second
	// patience is how long a worker may make no progress; it turns ten times a second even on a silent link.
	patience = 5 * time.Second
	// settleTimeout of it the last report waits for what the tables handed over to be settled, so that it can say so.
	settleTimeout = 2 * time.Second
	// senderName is what the monitor calls the sender, which turns every second or so.
	senderName = "sender"
)

// Service is the running sensor; it implements daemon.Service.
type Service struct {
	path     string
	log      *slog.Logger
	monitor  *daemon.Monitor
	config   Config
	pipeline *pipeline
	page     *daemon.Page
	started  time.Time
	line     statusLine
	failed   chan error

	stopPage, stopWorkers, stopSender, stopDrain, stopReports, stopRoutes context.CancelFunc

	workers, sender, pages, reports, routes sync.WaitGroup
}

// NewService makes a sensor that is not running yet. path is where Reload finds the configuration.
func NewService(path string, c Config, monitor *daemon.Monitor, log *slog.Logger) *Service {
	return &Service{path: path, config: c, monitor: monitor, log: log, started: time.Now(), failed: make(chan error, 1)}
}

// Start implements daemon.Service: when it returns every ring captures.
func (s *Service) Start(ctx context.Context) error {
	p, err := newPipeline(ctx, s.config, s.log)
	if err != nil {
		return config.Locate(s.path, err)
	}
	s.pipeline = p
	if s.page, err = daemon.NewPage(s.config.HTTP.Listen, s.metricsHandler(), s.monitor.Healthy); err != nil {
		return errors.Join(config.Locate(s.path, setting.KeyError{Key: "http.listen", Err: err}), p.close())
	}
	life := context.WithoutCancel(ctx) // an end comes by Stop, in order
	sending, stopSender := context.WithCancel(life)
	working, stopWorkers := context.WithCancel(life)
	draining, stopDrain := context.WithCancel(life)
	serving, stopPage := context.WithCancel(life)
	reporting, stopReports := context.WithCancel(life)
	s.stopSender, s.stopWorkers, s.stopDrain, s.stopPage, s.stopReports = stopSender, stopWorkers, stopDrain, stopPage, stopReports
	s.monitor.Watch(senderName, func() uint64 { return p.sender.Stats().Turns })
	s.sender.Go(func() {
		defer s.monitor.Forget(senderName)
		s.fail(p.sender.Run(sending))
	})
	s.followRoutes(life)
	for _, w := range p.workers {
		s.monitor.Watch("worker "+w.name, w.beat.Turns)
		s.workers.Go(func() {
			defer s.monitor.Forget("worker " + w.name)
			s.fail(w.run(working, draining))
		})
	}
	s.pages.Go(func() { s.fail(s.page.Run(serving)) })
	s.pages.Go(s.statusTask(serving))
	s.reports.Go(func() { s.reporting(reporting) })
	return nil
}

// fail reports the first error that ends the work.
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

// Stop implements daemon.Service: capture ends, rings are read to their end, tables flushed, records sent. What does not get out
// until ctx ends is counted. The order is the path of a packet, so that no stage loses what the one before still hands over.
func (s *Service) Stop(ctx context.Context) error {
	p := s.pipeline
	var errs []error
	for _, tap := range p.taps {
		errs = append(errs, tap.StopTraffic())
	}
	s.stopWorkers()
	release := context.AfterFunc(ctx, s.stopDrain)
	defer release()
	s.workers.Wait() // the sender still runs: the last flush may wait for room
	s.stopRoutes()
	s.routes.Wait()
	s.stopReports()
	s.reports.Wait()
	s.awaitSettled(ctx)
	p.sender.Report(s.readings(ended))
	s.stopSender()
	s.sender.Wait()
	drain, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	errs = append(errs, p.sender.Drain(drain))
	s.logEnd()
	s.stopPage()
	s.pages.Wait()
	s.stopDrain()
	return errors.Join(append(errs, p.close())...)
}

// logEnd states the ledger of this life.
func (s *Service) logEnd() {
	l, x := s.Ledger(), s.pipeline.sender.Stats()
	dropped := x.DroppedTotal()
	s.log.Info("ledger", "received", l.Received, "ring_dropped", l.Dropped, "read", l.Packets.Read,
		"gso_extra_packets", l.Packets.GSOExtra, "accounted", l.Packets.Accounted,
		"refused", l.Packets.RefusedTotal(), "balanced", l.Balanced() && l.Received == l.Dropped+l.Discarded+l.Packets.Read,
		"records", l.Records, "sent_records", x.Sent.Records, "acked_records", x.Acked.Records, "kept_records", x.Pending.Records,
		"dropped_records", dropped.Records, "datagrams", x.Datagrams)
}

// Ledger reads the account of the running sensor.
func (s *Service) Ledger() *Ledger {
	l := newLedger()
	for _, tap := range s.pipeline.taps {
		t := tap.Stats()
		l.Received += t.Received
		l.Dropped += t.Dropped
		l.Discarded += t.Discarded
	}
	for _, w := range s.pipeline.workers {
		w.balance(l)
	}
	return l
}

// ledgerOf reads the workers' account of one interface.
func (s *Service) ledgerOf(iface string) *Ledger {
	l := newLedger()
	for _, w := range s.pipeline.workers {
		if w.iface == iface {
			w.balance(l)
		}
	}
	return l
}

// Reload implements daemon.Service: it takes over the key, and names what only a restart takes over.
func (s *Service) Reload(context.Context) error {
	next, err := loadWithKey(s.path)
	if err != nil {
		return err
	}
	key, err := seal.LoadKeyFile(next.Export.KeyFile)
	if err != nil {
		return err
	}
	if err := s.pipeline.sender.SetKey(key); err != nil {
		return err
	}
	s.config.Export.KeyFile = next.Export.KeyFile
	if changed := config.Differences(s.config, next); len(changed) > 0 {
		s.log.Warn("the key was read again; other changes need a restart", "sections", changed)
	}
	return nil
}

func (s *Service) metricsHandler() http.Handler {
	return metrics.Handler("flow_sensor", metricDefs, s.readMetrics)
}

// moved renews the captures' filters before a datagram leaves from or to a new address.
func (p *pipeline) moved(from, to export.Endpoints) {
	p.own.set(from, to)
	for _, tap := range p.taps {
		if err := tap.SetExclude(exclusions(from, to)); err != nil {
			// The decoder still knows its own traffic: it costs work, and counts as refused.
			p.log.Error("cannot renew the filter of a capture: the sensor's own datagrams pass it", "interface", tap.Stats().Interface, "err", err)
		}
	}
}

// close lets go of everything that is open; no worker may run.
func (p *pipeline) close() error {
	var errs []error
	for _, tap := range p.taps {
		errs = append(errs, tap.Close())
	}
	for _, w := range p.workers {
		errs = append(errs, w.meter.table.Close())
	}
	if p.routes != nil {
		p.routes.Close()
	}
	if p.sender != nil {
		errs = append(errs, p.sender.Close())
	}
	return errors.Join(errs...)
}
