package collector

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/dnstap"
	"flowsensor/internal/seal"
	"flowsensor/internal/setting"
	"flowsensor/internal/status"
)

const (
	maxProcessors = 256
	maxClock      = time.Hour
	minQueue      = 8192
	maxFailures   = 1_000_000
)

func (c *Config) validate(doc *config.Document) {
	if c.StateDir == "" {
		doc.Checkf("state_dir", "must name a directory")
	}
	if c.ID != "" {
		doc.Check("id", seal.ValidID(c.ID))
	}
	if len(c.ID) > maxName {
		doc.Checkf("id", "must not be longer than %d characters", maxName)
	}
	doc.Check("report_interval", config.DurationBetween(c.ReportInterval, 100*time.Millisecond, time.Hour))
	c.validateRoles(doc)
	if c.ingests() {
		if len(c.Sensors)+len(c.LegacyAgents) == 0 {
			doc.Checkf("sensor", "no sensor may send: `flow-collector sensor add` adds one")
		}
		c.validateLegacyAgents(doc)
	}
	c.Ingest.validate(doc)
	c.validateAttribution(doc)
	c.validateRollup(doc)
	doc.Check("journal", c.journal().Validate())
	doc.Check("names", c.Names.names().Validate())
	c.Dnstap.validate(doc)
	c.Enrich.validate(doc)
	c.Store.validate(doc)
	if c.HTTP.Listen != "" {
		doc.Check("http.listen", config.HostPort(c.HTTP.Listen))
	}
	doc.Check("status.socket", status.ValidSocket(c.Status.Socket))
	doc.Check("log.level", config.OneOf(c.Log.Level, "debug", "info", "warn", "error"))
	doc.Check("log.format", config.OneOf(c.Log.Format, "auto", "text", "json"))
}

func (c *DnstapConfig) validate(doc *config.Document) {
	if c.Listen != "" {
		network, address, err := dnstap.ParseListen(c.Listen)
		if err == nil && network == "tcp" {
			err = config.HostPort(address)
		}
		doc.Check("dnstap.listen", err)
	}
	doc.Check("dnstap.max_failures", config.Between(c.MaxFailures, 0, maxFailures))
}

func (c *Config) validateRoles(doc *config.Document) {
	for _, role := range c.Roles {
		doc.Check("roles", config.OneOf(role, roleIngest, roleWrite))
	}
	switch {
	case len(c.Roles) == 0:
		doc.Checkf("roles", "the process would do nothing: want \"ingest\", \"write\" or both")
	case c.ingests() != c.writes() && c.Journal.URL == "":
		doc.Checkf("roles", "one role alone needs a journal that the other role reaches too: set journal.url")
	}
}

// prefixes parses networks; an address without a length is that address alone.
func prefixes(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, fmt.Errorf(`%q is no network: write it as "192.0.2.0/24" or "2001:db8::/32"`, text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%q has bits behind its length: write %q", text, p.Masked())
		}
		all = append(all, p)
	}
	return all, nil
}

func (c *IngestConfig) validate(doc *config.Document) {
	if _, err := c.addresses(); err != nil {
		doc.Check("ingest.listen", err)
	}
	doc.Check("ingest.processors", config.Between(c.Processors, 0, maxProcessors))
	if c.ReceiveBuffer < 64<<10 || c.ReceiveBuffer > 1<<30 {
		doc.Checkf("ingest.receive_buffer", "%s: want 64KiB to 1GiB", c.ReceiveBuffer)
	}
	doc.Check("ingest.ttl", config.DurationBetween(c.TTL, time.Second, maxClock))
	doc.Check("ingest.skew", config.DurationBetween(c.Skew, time.Second, maxClock))
}

// addresses parses the addresses to listen on.
func (c *IngestConfig) addresses() ([]netip.AddrPort, error) {
	if len(c.Listen) == 0 {
		return nil, errors.New(`no address: want such as ["0.0.0.0:9999", "[::]:9999"]`)
	}
	var all []netip.AddrPort
	for _, text := range c.Listen {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf(`%q is no address and port: write it as "0.0.0.0:9999" or "[::]:9999"`, text)
		}
		if a.Port() != 0 && slices.Contains(all, a) {
			return nil, fmt.Errorf("%q stands twice: processors makes several sockets of one address", text)
		}
		all = append(all, a)
	}
	return all, nil
}

func (c *StoreConfig) validate(doc *config.Document) {
	doc.Check("store", c.pool().Validate())
	if c.Queue < minQueue && c.Queue >= c.Lines {
		doc.Checkf("store.queue", "%d records: want %d or more, which is the longest batch", c.Queue, minQueue)
	}
	doc.Check("store.kind", config.OneOf(c.Kind, kindFiles, kindInflux))
	doc.Check("store.files.compression", config.OneOf(c.Files.Compression, "none", "gzip"))
	if c.Kind == kindFiles {
		c.validateFiles(doc)
	}
	if c.Kind == kindInflux {
		doc.Check("store.influxdb", c.InfluxDB.influx().Validate())
	}
	if c.DeadLetters.MaxSize < 4<<10 {
		doc.Checkf("store.dead_letters.max_size", "%s: want 4KiB or more", c.DeadLetters.MaxSize)
	}
}

// validateFiles looks at what line-protocol files are made by. The name of the database that they are for is that of InfluxDB.
func (c *StoreConfig) validateFiles(doc *config.Document) {
	err, table := c.files().Validate(), "store.files"
	if keyed, ok := errors.AsType[setting.KeyError](err); ok && keyed.Key == "database" {
		table = "store.influxdb"
	}
	doc.Check(table, err)
}
