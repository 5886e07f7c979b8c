package sensor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"flowsensor/internal/capture"
	"flowsensor/internal/daemon"
	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/export"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/packet"
	"flowsensor/internal/route"
	"flowsensor/internal/seal"
	"flowsensor/internal/setting"
)

// pipeline is the sensor's parts, wired: ring -> decoder -> table -> batcher (one worker each) -> sender.
type pipeline struct {
	log     *slog.Logger
	sender  *export.Sender
	taps    []*capture.Tap
	workers []*worker
	own     ownTraffic
	split   *splitWatch
	routes  *route.Table // nil where no interface is routed
}

// newPipeline opens and wires everything, or nothing. The sender comes first: its address is what the captures leave out.
func newPipeline(ctx context.Context, c Config, log *slog.Logger) (_ *pipeline, err error) {
	p := &pipeline{log: log, split: newSplitWatch()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if err := c.checkMemory(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, setting.KeyError{Key: "state_dir", Err: daemon.Writable(err)}
	}
	if p.sender, err = newSender(c, export.LookOn, p.moved, log); err != nil {
		return nil, err
	}
	ends := export.Endpoints{Local: p.sender.LocalAddr(), Remote: p.sender.RemoteAddr()}
	p.own.set(ends)
	exclude := exclusions(ends)
	if err := p.openRoutes(c, log); err != nil {
		return nil, err
	}
	for n, cc := range c.captures(exclude) {
		tap, err := capture.Open(ctx, cc, log)
		switch {
		case errors.Is(err, capture.ErrFilter):
			return nil, configError(setting.KeyError{Key: c.filterKey(n), Err: err})
		case errors.Is(err, capture.ErrNoInterface):
			return nil, setting.KeyError{Key: c.nameKey(n), Err: err}
		case err != nil:
			return nil, err
		}
		p.taps = append(p.taps, tap)
		for i := range cc.Workers {
			name := fmt.Sprintf("%s/%d", cc.Interface, i)
			w, err := newWorker(name, tap.Ring(i), p.sender.Batcher(cc.Interface), c.Flows.share(c.workers()))
			if err != nil {
				return nil, err
			}
			w.readNames(c.DNS)
			w.iface, w.sampling, w.routes = cc.Interface, sampling(cc.Sample), p.routesFor(c.Interfaces[n])
			w.cpu = c.Capture.cpuOf(len(p.workers))
			if cc.Workers > 1 {
				w.meter.split, w.meter.worker = p.split, uint8(i)
			}
			w.log, w.meter.own, w.thread = log, &p.own, fmt.Sprintf("w%d %s", i, cc.Interface)
			p.workers = append(p.workers, w)
		}
	}
	return p, nil
}

// sampling is how a record says that one packet in n was taken: not at all where all were.
func sampling(n int) uint32 {
	if n <= 1 {
		return 0
	}
	return uint32(n)
}

// newSender makes the sender of a configuration. absent: the daemon captures before the network to its collector is up, a command has
// a user to tell.
func newSender(c Config, absent export.Absence, moved func(from, to export.Endpoints), log *slog.Logger) (*export.Sender, error) {
	key, err := seal.LoadKeyFile(c.Export.KeyFile)
	if err != nil {
		return nil, configError(err)
	}
	ec := export.DefaultConfig()
	ec.ID, ec.Key, ec.Delivery = c.ID, key, c.Export.Delivery
	ec.Collector, ec.Standby = c.Export.Collector[0], c.Export.Collector[1:]
	ec.SpoolSize, ec.SpoolDir = int64(c.Export.SpoolSize.Int()), c.Export.SpoolDir
	ec.MaxDatagram, ec.FlushInterval, ec.Queue = c.Export.MaxDatagram, c.Export.FlushInterval.D(), c.Export.Queue
	ec.Keeping, ec.StateDir, ec.Moved = export.InStateDir, c.StateDir, moved
	ec.Absent = absent
	sender, err := export.NewSender(ec, log)
	if errors.Is(err, export.ErrFormat) {
		return nil, configError(err) // another start would find the same
	}
	// The directory itself, what is in it, or what it would be made in.
	if at, ok := errors.AsType[*fs.PathError](err); ok && ec.SpoolDir != "" && (strings.HasPrefix(at.Path, ec.SpoolDir) || strings.HasPrefix(ec.SpoolDir, at.Path)) {
		return nil, setting.KeyError{Key: "export.spool_dir", Err: daemon.Writable(err)}
	}
	return sender, err
}

// exclusions names the sensor's own traffic for the captures' filters.
func exclusions(ends ...export.Endpoints) []capture.Exclusion {
	var all []capture.Exclusion
	for _, e := range ends {
		if e.Remote.IsValid() { // else there is no collector yet
			all = append(all, capture.Exclusion{Local: e.Local, Remote: e.Remote})
		}
	}
	return all
}

// captures gives the configuration of each interface's capture.
func (c *Config) captures(exclude []capture.Exclusion) []capture.Config {
	var all []capture.Config
	for _, in := range c.Interfaces {
		cc := capture.Config{
			Interface: in.Name, Workers: in.Workers, RingSize: c.Capture.RingSize.Int(), BlockSize: c.Capture.BlockSize.Int(),
			BlockTimeout: c.Capture.BlockTimeout.D(), SnapLength: c.Capture.SnapLength, Filter: in.Filter,
			Fanout: c.Capture.Fanout, Exclude: exclude, Sample: c.Capture.Sample, Engine: c.Capture.Engine,
		}
		if cc.Workers == 0 {
			cc.Workers = c.Capture.Workers
		}
		if cc.Filter == "" {
			cc.Filter = c.Capture.Filter
		}
		if !c.Capture.Promiscuous {
			cc.Promiscuous = capture.PromiscuousOff
		}
		if c.DNS.Enabled {
			cc.FullPorts = []uint16{dnsmsg.Port}
		}
		all = append(all, cc)
	}
	return all
}

// workers is how many workers all interfaces have together.
func (c *Config) workers() int {
	n := 0
	for _, cc := range c.captures(nil) {
		n += cc.Workers
	}
	return n
}

// share divides the flows among the workers.
func (c FlowsConfig) share(workers int) FlowsConfig {
	c.MaxFlows = max(c.MaxFlows/max(workers, 1), 1)
	return c
}

func (c FlowsConfig) table() flowtable.Config {
	return flowtable.Config{
		MaxFlows: c.MaxFlows, Active: c.ActiveTimeout.D(), Inactive: c.InactiveTimeout.D(), Linger: c.Linger.D(),
	}
}

func (c FlowsConfig) decoder() packet.Config {
	return packet.Config{VLANInKey: c.VLANInKey, MaxFragments: c.MaxFragments}
}
