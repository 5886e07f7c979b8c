package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"flowsensor/internal/build"
	"flowsensor/internal/config"
	"flowsensor/internal/daemon"
	"flowsensor/internal/enrich"
	"flowsensor/internal/enroll"
	"flowsensor/internal/legacy"
	"flowsensor/internal/metrics"
	"flowsensor/internal/seal"
	"flowsensor/internal/setting"
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
	started  time.Time
	failed   chan error

	reporter       *reporter
	reportsSkipped atomic.Uint64

	stopIngest, stopAppend, stopRead, stopPool, stopPage, stopReports, stopOrigins context.CancelFunc

	ingest, appending, reading, pool, pages, reports, origins sync.WaitGroup
}

// NewService makes a collector that is not running yet. path is where Reload finds the configuration.
func NewService(path string, c Config, monitor *daemon.Monitor, log *slog.Logger) *Service {
	return &Service{path: path, config: c, monitor: monitor, log: log, started: time.Now(), failed: make(chan error, 1)}
}

// Run is `flow-collector run`: the daemon, until it is told to stop.
func Run(ctx context.Context, path string) error {
	c, err := loadWithKeys(path, seal.LoadKeyFile)
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

// Check is `flow-collector check`: it validates the configuration, loads the keys, which the service must be able to read as well,
// and prints it with all defaults, behind comments on what in it is without effect.
func Check(path string, out io.Writer) error {
	c, err := loadWithKeys(path, enroll.InspectKey)
	if err != nil {
		return configError(err)
	}
	if c.ingests() {
		if _, err := newOpener(c); err != nil {
			return err
		}
		if _, err := newAgents(c, nil); err != nil {
			return err
		}
	}
	_, warnings, err := newRules(c)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		if _, err := fmt.Fprintf(out, "# warning: %v\n", config.Locate(path, w)); err != nil {
			return err
		}
	}
	if c.writes() {
		if _, err := enrich.Open(c.Enrich.enrich(nil)); err != nil {
			return config.Locate(path, settingsOf("enrich", err))
		}
	}
	return config.Write(out, c)
}

// Start implements daemon.Service: when it returns every socket is bound and read.
func (s *Service) Start(ctx context.Context) error {
	p, err := newPipeline(s.config, s.log)
	if err != nil {
		return config.Locate(s.path, err)
	}
	s.pipeline = p
	handler := metrics.Handler("flow_collector", Metrics(), s.readMetrics)
	if s.page, err = daemon.NewPage(s.config.HTTP.Listen, handler, s.monitor.Healthy); err != nil {
		return errors.Join(config.Locate(s.path, setting.KeyError{Key: "http.listen", Err: err}), p.close())
	}
	life := context.WithoutCancel(ctx) // an end comes by Stop, in order
	receiving, stopIngest := context.WithCancel(life)
	appending, stopAppend := context.WithCancel(life)
	reading, stopRead := context.WithCancel(life)
	writing, stopPool := context.WithCancel(life)
	serving, stopPage := context.WithCancel(life)
	reporting, stopReports := context.WithCancel(life)
	s.stopIngest, s.stopAppend, s.stopRead, s.stopPool, s.stopPage = stopIngest, stopAppend, stopRead, stopPool, stopPage
	s.stopReports = stopReports
	s.reporter = newReporter(s.config, time.Now())
	s.reports.Go(func() { s.reporting(reporting, s.reporter) })
	s.appending.Go(func() { s.fail(p.appender.Run(appending)) })
	if p.pool != nil {
		s.watchWriters()
		s.pool.Go(func() {
			defer s.forgetWriters()
			s.fail(p.pool.Run(writing))
		})
		s.reading.Go(func() { s.fail(p.reader.Run(reading)) })
		s.followOrigins(life)
	}
	if p.server != nil {
		for i, sock := range p.server.Stats().Sockets {
			s.monitor.Watch(fmt.Sprintf("socket %d on %s", i, sock.Local), func() uint64 { return p.server.Stats().Sockets[i].Turns })
		}
		s.ingest.Go(func() { s.fail(p.server.Run(receiving, p.sink)) })
	}
	if p.dnstap != nil {
		s.ingest.Go(func() { s.fail(p.dnstap.run(receiving)) })
	}
	s.pages.Go(func() { s.fail(s.page.Run(serving)) })
	s.pages.Go(s.statusTask(serving))
	return nil
}

func (s *Service) watchWriters() {
	for i := range s.pipeline.pool.Writers() {
		s.monitor.Watch(writerName(i), func() uint64 { return s.pipeline.pool.Turns(i) })
	}
}

func (s *Service) forgetWriters() {
	for i := range s.pipeline.pool.Writers() {
		s.monitor.Forget(writerName(i))
	}
}

func writerName(i int) string { return fmt.Sprintf("writer %d", i) }

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

// Stop implements daemon.Service: the sockets are read to their end, what they held goes into the journal, and the journal
// into the database as far as the time allows. The rest stays in the journal.
func (s *Service) Stop(ctx context.Context) error {
	p := s.pipeline
	var errs []error
	s.stopIngest()
	s.ingest.Wait()
	s.stopReports()
	s.reports.Wait()
	s.report(s.reporter, time.Now())
	errs = append(errs, p.appender.Drain(ctx))
	s.stopAppend()
	s.appending.Wait()
	if p.reader != nil {
		s.stopWriting(ctx)
	}
	s.logEnd()
	s.stopPage()
	s.pages.Wait()
	return errors.Join(append(errs, p.close())...)
}

// stopWriting writes what stands in the journal, within its share of the time.
func (s *Service) stopWriting(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := s.pipeline.reader.Drain(ctx); err != nil {
		s.log.Warn("the next start writes the rest", "error", err)
	}
	s.stopRead()
	s.reading.Wait()
	_ = s.pipeline.pool.Drain(ctx) // what it gives up stays in the journal
	s.stopPool()
	s.pool.Wait()
	s.stopOrigins()
	s.origins.Wait()
}

// followOrigins reads the files of origins again when they change, until stopOrigins.
func (s *Service) followOrigins(life context.Context) {
	following, stop := context.WithCancel(life)
	s.stopOrigins = stop
	s.origins.Go(func() { s.pipeline.origins.Run(following) })
}

// ledger is what the processed records come to. What was given up at the end stands in the journal still.
type ledger struct {
	received, refused, unfit, appended           uint64
	read, written, withheld, deadLettered, again uint64
}

func (s *Service) ledger() (l ledger) {
	p := s.pipeline
	if p.server != nil {
		in := p.server.Stats()
		l.refused = in.QueueFull.Records + in.Legacy.QueueFull.Records
		l.unfit = in.Unfit.Records + in.Legacy.Unfit.Records
		l.received = in.Accepted.Records + in.Legacy.Accepted.Records + l.refused + l.unfit
		l.appended = p.appender.Stats().Appended.Records
	}
	if p.pool != nil {
		out := p.pool.Stats()
		l.read, l.written, l.withheld = out.Submitted.Records, out.Written.Records, out.Withheld.Records
		l.deadLettered, l.again = deadTotal(&out), droppedTotal(&out)
	}
	return l
}

// logEnd states the ledger of this life.
func (s *Service) logEnd() {
	l, kept := s.ledger(), s.pipeline.journal.Stats()
	s.log.Info("ledger", "received_records", l.received, "journal_full_records", l.refused, "unfit_records", l.unfit, "journaled_records", l.appended,
		"read_records", l.read, "written_records", l.written, "withheld_records", l.withheld, "dead_lettered_records", l.deadLettered,
		"left_in_journal_records", l.again, "journal_messages", kept.Messages)
}

// Status implements daemon.Service.
func (s *Service) Status() string {
	l, kept := s.ledger(), s.pipeline.journal.Stats()
	sensors := 0
	if s.pipeline.server != nil {
		sensors = heard(s.pipeline.server.Stats().Sensors)
	}
	return fmt.Sprintf("%d records received from %d sensors, %d refused for want of room; %d written; journal %d bytes, %s old",
		l.received, sensors, l.refused, l.written, kept.Bytes, kept.Age.Round(time.Second))
}

// Reload implements daemon.Service: it takes over sensors, keys, prefixes, clock limits and the database's credentials,
// and at the end of the windows under way networks, roles and roll-ups.
func (s *Service) Reload(context.Context) error {
	next, err := loadWithKeys(s.path, seal.LoadKeyFile)
	if err != nil {
		return err
	}
	opener, err := newOpener(next)
	if err != nil {
		return err
	}
	setup, err := newRollupSetup(next)
	if err != nil {
		return err
	}
	// A role that the process does not have has nothing to reload.
	var agents *legacy.Agents
	if s.pipeline.server != nil {
		if agents, err = newAgents(next, s.pipeline.server.Agents()); err != nil {
			return err
		}
	}
	if w, ok := s.pipeline.writer.(interface{ Reload() error }); ok {
		if err := w.Reload(); err != nil {
			return config.Locate(s.path, settingsOf("store.influxdb", err))
		}
	}
	if s.pipeline.server != nil {
		s.pipeline.server.SetOpener(opener)
		s.pipeline.server.SetAgents(agents)
	}
	s.config.Sensors, s.config.Ingest.TTL, s.config.Ingest.Skew = next.Sensors, next.Ingest.TTL, next.Ingest.Skew
	s.config.LegacyAgents = next.LegacyAgents
	s.reloadRollups(&next.Rollup, setup)
	s.config.Networks, s.config.RoleRules, s.config.ServicePorts, s.config.Rollup = next.Networks, next.RoleRules, next.ServicePorts, next.Rollup
	if changed := config.Differences(s.config, next); len(changed) > 0 {
		s.log.Warn("sensors, keys, clock limits, networks, roles and roll-ups were read again; other changes need a restart", "sections", changed)
	}
	return nil
}

// reloadRollups has windows to come go by another configuration. How many of them are acknowledged together is the journal's
// matter, and stays.
func (s *Service) reloadRollups(c *RollupConfig, setup *rollupSetup) {
	r := s.pipeline.rollups
	if r == nil {
		return
	}
	r.use(setup)
	setup.warn(s.log)
	if c.windows() != r.windows {
		s.log.Warn("conversations are written as often as before until a restart", "every", time.Duration(r.windows)*window)
	}
}

func configError(err error) error { return daemon.ConfigError{Err: err} }
