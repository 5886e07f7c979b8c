package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Service is one daemon's work.
type Service interface {
	// Start begins the work and returns once it is really being done: capturing, or listening.
	Start(ctx context.Context) error
	// Failed delivers the error that makes the work impossible; it may never deliver.
	Failed() <-chan error
	// Reload takes over a changed configuration. On error the old one stays in force.
	Reload(ctx context.Context) error
	// Status is one line with live figures.
	Status() string
	// Stop ends the work in order and drains it until ctx ends. It is called once, also after a failure.
	Stop(ctx context.Context) error
}

// Options of Run.
type Options struct {
	Log     *slog.Logger
	Monitor *Monitor
	// StopTimeout bounds Service.Stop.
	StopTimeout time.Duration
	// StatusPeriod is how often STATUS= is renewed; 0 means 5 s.
	StatusPeriod time.Duration
}

// Run starts the service, tells systemd when it is ready, and drives it until SIGTERM, SIGINT or the end of ctx, or
// until it fails. A second SIGTERM or SIGINT ends the draining. WATCHDOG=1 is sent only while every beat of the monitor moves.
func Run(ctx context.Context, s Service, o Options) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	period, err := watchdogPeriod()
	if err != nil {
		return err
	}
	n := notifier{log: o.Log}
	if err := s.Start(ctx); err != nil {
		return err
	}
	n.ready(s.Status())
	o.Log.Info("ready", "status", s.Status())
	cause := loop(ctx, s, o, turn{notify: n, signals: signals, watchdog: period})
	n.stopping()
	return errors.Join(cause, stop(s, o, signals))
}

// turn is what the main loop waits for.
type turn struct {
	notify   notifier
	signals  <-chan os.Signal
	watchdog time.Duration
}

// loop returns nil when the daemon was asked to stop, and the error when it failed.
func loop(ctx context.Context, s Service, o Options, t turn) error {
	status := time.NewTicker(cmp.Or(o.StatusPeriod, 5*time.Second))
	defer status.Stop()
	var ping <-chan time.Time
	if t.watchdog > 0 {
		ticker := time.NewTicker(t.watchdog)
		defer ticker.Stop()
		ping = ticker.C
	}
	alive := liveness{monitor: o.Monitor, log: o.Log}
	remark := "" // before the status
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.Failed():
			return err
		case sig := <-t.signals:
			if sig != syscall.SIGHUP {
				o.Log.Info("stopping", "signal", sig.String())
				return nil
			}
			remark = reload(ctx, s, o.Log, t.notify)
		case <-status.C:
			alive.look()
			t.notify.status(remark + s.Status())
		case <-ping:
			if alive.look() {
				t.notify.watchdog()
			}
		}
	}
}

// reload gives the remark that the status begins with until the next one: `systemctl reload` cannot tell that it was refused.
func reload(ctx context.Context, s Service, log *slog.Logger, n notifier) (remark string) {
	n.reloading()
	if err := s.Reload(ctx); err != nil {
		log.Error("reload refused, the running configuration stays in force", "err", err)
		remark = "the last reload was refused, the log says why; "
	} else {
		log.Info("reloaded")
	}
	n.ready(remark + s.Status())
	return remark
}

// lastGrace is what Service.Stop gets to return after its bound, before the process ends without it.
const lastGrace = 2 * time.Second

// stop drains the service within the bound; a second signal ends the draining. A service that does not return even then
// is left behind: the process is about to end.
func stop(s Service, o Options, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), o.StopTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Stop(ctx) }()
	abandoned := after(ctx, lastGrace)
	for {
		select {
		case err := <-done:
			return err
		case <-abandoned:
			return errors.New("stop: the work did not end in time")
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				o.Log.Warn("draining cut short", "signal", sig.String())
				cancel()
			}
		}
	}
}

// liveness logs changes of what the monitor sees.
type liveness struct {
	monitor *Monitor
	log     *slog.Logger
	stalled bool
}

// look reports whether every worker makes progress.
func (l *liveness) look() bool {
	names := l.monitor.Stalled()
	switch stalled := len(names) > 0; {
	case stalled && !l.stalled:
		l.log.Error("workers stalled, no more watchdog messages until they move", "workers", fmt.Sprint(names))
	case !stalled && l.stalled:
		l.log.Info("all workers move again")
	}
	l.stalled = len(names) > 0
	return !l.stalled
}

// after delivers once grace has passed since ctx ended.
func after(ctx context.Context, grace time.Duration) <-chan struct{} {
	done := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, func() { close(done) }) })
	return done
}
