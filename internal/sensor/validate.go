package sensor

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/config"
	"flowsensor/internal/export"
	"flowsensor/internal/seal"
	"flowsensor/internal/status"
)

// Bounds of the configuration. They keep a slip of the pen from taking the machine's memory.
const (
	maxWorkers   = 256
	maxFlows     = 1 << 28
	minSnap      = 64 // an Ethernet, IPv6 and TCP header fit up to the ports
	maxSnap      = 65535
	maxDatagram  = 65507
	minSpool     = 1 << 20
	maxSpool     = 1 << 40
	maxFailures  = 1_000_000
	maxIfaceName = 15 // IFNAMSIZ less the terminating zero
)

func (c *Config) validate(doc *config.Document) {
	doc.Check("id", seal.ValidID(c.ID))
	if c.StateDir == "" {
		doc.Checkf("state_dir", "must name a directory")
	}
	c.validateInterfaces(doc)
	c.Capture.validate(doc)
	c.Flows.validate(doc)
	c.DNS.validate(doc)
	c.Export.validate(doc)
	c.validateDatagram(doc)
	if c.HTTP.Listen != "" {
		doc.Check("http.listen", config.HostPort(c.HTTP.Listen))
	}
	doc.Check("status.socket", status.ValidSocket(c.Status.Socket))
	if doc.Err() == nil { // what else the capture itself refuses, such as blocks smaller than this machine's pages
		for _, cc := range c.captures(nil) {
			if err := cc.Validate(); err != nil {
				doc.Check("capture", err)
				break // the same for all of them
			}
		}
	}
	doc.Check("log.level", config.OneOf(c.Log.Level, "debug", "info", "warn", "error"))
	doc.Check("log.format", config.OneOf(c.Log.Format, "auto", "text", "json"))
}

// validateReading wants right what reading capture files needs, validateSending what sending their flows needs too: an
// interface to capture on is no part of it.
func (c *Config) validateReading(doc *config.Document) {
	c.Flows.validate(doc)
	c.DNS.validate(doc)
}

func (c *Config) validateSending(doc *config.Document) {
	doc.Check("id", seal.ValidID(c.ID))
	c.Flows.validate(doc)
	c.DNS.validate(doc)
	c.Export.validate(doc)
	c.validateDatagram(doc)
	c.validateKey(doc)
}

// validateKey reads the key's file.
func (c *Config) validateKey(doc *config.Document) {
	if c.Export.KeyFile == "" {
		return // which was refused already
	}
	_, err := loadKey(c.Export.KeyFile)
	doc.Check("export.key_file", err)
}

func (c *Config) validateInterfaces(doc *config.Document) {
	if len(c.Interfaces) == 0 {
		doc.Checkf("interface", "no interface to capture on: add [[interface]] with name = \"...\" (`flow-sensor interfaces` lists them)")
	}
	seen := make(map[string]bool)
	for i, in := range c.Interfaces {
		at := fmt.Sprintf("interface[%d].", i)
		switch {
		case in.Name == "":
			doc.Checkf(at+"name", "must name a network interface (`flow-sensor interfaces` lists them)")
		case len(in.Name) > maxIfaceName || strings.ContainsAny(in.Name, "/ \t\n"):
			doc.Checkf(at+"name", "%q is no interface name: at most %d characters, no slash and no space", in.Name, maxIfaceName)
		case seen[in.Name]:
			doc.Checkf(at+"name", "%q is named twice", in.Name)
		}
		seen[in.Name] = true
		doc.Check(at+"workers", config.Between(in.Workers, 0, maxWorkers))
	}
}

func (c *CaptureConfig) validate(doc *config.Document) {
	if !c.Engine.Available() {
		doc.Checkf("capture.engine", "%q is not part of this build, which was made without cgo: want %q", c.Engine, capture.EngineRing)
	}
	doc.Check("capture.workers", config.Between(c.Workers, 1, maxWorkers))
	for i, cpu := range c.CPUs {
		switch {
		case cpu < 0 || cpu > maxCPU:
			doc.Checkf("capture.cpus", "%d is out of range: want 0 to %d", cpu, maxCPU)
		case slices.Contains(c.CPUs[:i], cpu):
			doc.Checkf("capture.cpus", "%d is named twice: workers beyond the last one begin again with the first", cpu)
		}
	}
	doc.Check("capture.sample", config.Between(c.Sample, 1, capture.MaxSample))
	doc.Check("capture.snap_length", config.Between(c.SnapLength, minSnap, maxSnap))
	doc.Check("capture.block_timeout", config.DurationBetween(c.BlockTimeout, time.Millisecond, time.Second))
	if c.BlockTimeout.D()%time.Millisecond != 0 {
		doc.Checkf("capture.block_timeout", "%s: want whole milliseconds", c.BlockTimeout.D())
	}
	page := os.Getpagesize() // of most machines 4 KiB, but not of all
	switch block := c.BlockSize.Int(); {
	case block < page || block > 16<<20 || block&(block-1) != 0:
		doc.Checkf("capture.block_size", "%s: want a power of two from %s to 16MiB", c.BlockSize, config.Size(page))
	case c.RingSize.Int() < 2*block || c.RingSize.Int()%block != 0:
		doc.Checkf("capture.ring_size", "%s: want a multiple of block_size (%s), two blocks at least", c.RingSize, c.BlockSize)
	case c.RingSize > capture.MaxRingSize:
		doc.Checkf("capture.ring_size", "%s: want less than 4GiB, which is the most of one worker: more workers have more", c.RingSize)
	}
}

func (c *DNSConfig) validate(doc *config.Document) {
	doc.Check("dns.max_failures", config.Between(c.MaxFailures, 0, maxFailures))
}

func (c *FlowsConfig) validate(doc *config.Document) {
	for key, err := range c.conditions() {
		doc.Check("flows."+key, err)
	}
}

// conditions gives what must hold, by key.
func (c *FlowsConfig) conditions() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		_ = yield("max_flows", config.Between(c.MaxFlows, 1024, maxFlows)) &&
			yield("active_timeout", config.DurationBetween(c.ActiveTimeout, time.Second, 24*time.Hour)) &&
			yield("inactive_timeout", config.DurationBetween(c.InactiveTimeout, time.Second, 24*time.Hour)) &&
			yield("linger", config.DurationBetween(c.Linger, 0, time.Minute)) &&
			yield("max_fragments", config.Between(c.MaxFragments, 16, 1<<24))
	}
}

// overridden checks what the command line put in the place of the file's values, naming the flag.
func (c *FlowsConfig) overridden() error {
	var errs []error
	for key, err := range c.conditions() {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", strings.ReplaceAll(key, "_", "-"), err))
		}
	}
	return errors.Join(errs...)
}

func (c *ExportConfig) validate(doc *config.Document) {
	for _, collector := range c.Collector {
		doc.Check("export.collector", config.HostPort(collector))
	}
	switch {
	case len(c.Collector) == 0:
		doc.Checkf("export.collector", `must name the collector: ["host:port"]`)
	case len(c.Collector) > 1 && c.Delivery != export.Acknowledged:
		doc.Checkf("export.collector", "more than one collector needs delivery = %q, which tells whether they are there", export.Acknowledged)
	}
	if n := c.SpoolSize.Int(); n != 0 && (n < minSpool || n > maxSpool) {
		doc.Checkf("export.spool_size", "%s: want 0 for none, or 1MiB to 1TiB", c.SpoolSize)
	}
	c.validateKeyFile(doc)
	doc.Check("export.flush_interval", config.DurationBetween(c.FlushInterval, 10*time.Millisecond, time.Minute))
	doc.Check("export.report_interval", config.DurationBetween(c.ReportInterval, 100*time.Millisecond, time.Hour))
	doc.Check("export.queue", config.Between(c.Queue, 1, 1<<16))
}

// validateDatagram wants datagrams that hold any record: how long these are depends on the id.
func (c *Config) validateDatagram(doc *config.Document) {
	if seal.ValidID(c.ID) != nil {
		return // which was refused already
	}
	doc.Check("export.max_datagram", config.Between(c.Export.MaxDatagram, export.LeastDatagram(c.ID), maxDatagram))
}

func (c *ExportConfig) validateKeyFile(doc *config.Document) {
	if c.KeyFile == "" {
		doc.Checkf("export.key_file", "must name the file with the Fernet key (`flow-sensor keygen` makes one)")
	}
}
