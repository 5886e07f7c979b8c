package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"flowsensor/internal/build"
	"flowsensor/internal/capture"
	"flowsensor/internal/config"
	"flowsensor/internal/daemon"
	"flowsensor/internal/enroll"
	"flowsensor/internal/seal"
	"flowsensor/internal/setting"
)

// Run is `flow-sensor run`: the daemon, until it is told to stop.
func Run(ctx context.Context, path string) error {
	c, err := loadWithKey(path)
	if err != nil {
		return configError(err)
	}
	log, err := daemon.NewLogger(c.Log.Level, c.Log.Format)
	if err != nil {
		return configError(err)
	}
	// A worker that naps keeps its place in Go's scheduler (nap in internal/capture): there is always one for the others.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), c.workers()+1))
	log.Info("starting", "version", build.Version(), "id", c.ID, "config", path)
	monitor := daemon.NewMonitor(patience, nil)
	return daemon.Run(ctx, NewService(path, c, monitor, log), daemon.Options{
		Log: log, Monitor: monitor, StopTimeout: stopTimeout,
	})
}

// Check is `flow-sensor check`: it validates the configuration, holds it against this machine, and prints it with all
// defaults.
func Check(ctx context.Context, path string, out io.Writer) error {
	c, err := loadWithKey(path)
	if err != nil {
		return configError(err)
	}
	if err := errors.Join(c.checkKey(), c.checkState(), c.checkCapture(ctx)); err != nil {
		return config.Locate(path, err)
	}
	return config.Write(out, c)
}

// checkKey asks whether the service can read the key too.
func (c *Config) checkKey() error {
	if _, err := enroll.InspectKey(c.Export.KeyFile); err != nil {
		return configError(setting.KeyError{Key: "export.key_file", Err: err})
	}
	return nil
}

// checkState asks whether the state directory is there or can be made. It makes nothing.
func (c *Config) checkState() error {
	dir := c.StateDir
	for {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir):
			dir = filepath.Dir(dir)
			continue
		case err != nil:
			return setting.KeyError{Key: "state_dir", Err: err}
		case !info.IsDir():
			return setting.Errorf("state_dir", "%s is not a directory", dir)
		}
		return nil
	}
}

// checkCapture asks whether the interfaces are there, the filters compile and the rings fit the memory.
func (c *Config) checkCapture(ctx context.Context) error {
	all, err := capture.Interfaces()
	if err != nil {
		return err
	}
	errs := []error{c.checkMemory()}
	for n, cc := range c.captures(nil) {
		i := slices.IndexFunc(all, func(in capture.Interface) bool { return in.Name == cc.Interface })
		switch {
		case i < 0:
			errs = append(errs, setting.Errorf(c.nameKey(n), "%s: there is no such interface (`flow-sensor interfaces` lists them)", cc.Interface))
			continue
		case all[i].Refusal != nil:
			errs = append(errs, setting.Errorf(c.nameKey(n), "%s: %w", cc.Interface, all[i].Refusal))
			continue
		}
		if cc.Filter != "" {
			if _, err := capture.NewFileFilter(ctx, cc.Filter, all[i].LinkType); err != nil {
				errs = append(errs, configError(setting.KeyError{Key: c.filterKey(n), Err: err}))
			}
		}
	}
	return errors.Join(errs...)
}

// nameKey and filterKey are the keys of what the capture of the nth interface goes by.
func (c *Config) nameKey(n int) string { return fmt.Sprintf("interface[%d].name", n) }

func (c *Config) filterKey(n int) string {
	if c.Interfaces[n].Filter == "" {
		return "capture.filter"
	}
	return fmt.Sprintf("interface[%d].filter", n)
}

func configError(err error) error { return daemon.ConfigError{Err: err} }

// GenerateKey gives the text of a new key.
func GenerateKey() (string, error) {
	key, err := seal.GenerateKey()
	if err != nil {
		return "", err
	}
	return key.Encode(), nil
}

// FlowsOverride is what the command line puts in the place of [flows]; nil leaves it.
type FlowsOverride struct {
	Active, Inactive *time.Duration
	MaxFlows         *int
}

func (o FlowsOverride) apply(c *FlowsConfig) {
	if o.Active != nil {
		c.ActiveTimeout = config.Duration(*o.Active)
	}
	if o.Inactive != nil {
		c.InactiveTimeout = config.Duration(*o.Inactive)
	}
	if o.MaxFlows != nil {
		c.MaxFlows = *o.MaxFlows
	}
}
