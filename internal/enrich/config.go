package enrich

import (
	"fmt"
	"log/slog"
	"time"
)

// Bounds. They hold what a wrong file can cost; the whole internet is some 1.3 million prefixes of 80,000 systems.
const (
	// MaxFile is the largest file that is read, in octets.
	MaxFile = 512 << 20
	// MaxPrefixes is how many prefixes one table may have.
	MaxPrefixes = 8 << 20
	// maxSystems is how many different systems one table may have: a leaf holds 24 bits of them, and one is noLeaf's.
	maxSystems = 1<<24 - 1
	// maxName is how much of a name is kept, in octets.
	maxName = 128
)

// Bounds of Config.Interval.
const (
	DefaultInterval = 30 * time.Second
	MinInterval     = 10 * time.Millisecond
)

// Config is what Open needs. Both paths may be empty: then nothing is ever known.
type Config struct {
	// Database is a file in MaxMind's format with autonomous systems, such as GeoLite2-ASN.mmdb.
	Database string
	// Prefixes is a text file with a prefix, an AS number and a name in each line.
	Prefixes string
	// Interval is how often Run looks whether a file has changed. One that has is read when it looks the same twice.
	Interval time.Duration
	// Log takes what becomes of a changed file; nil for silence.
	Log *slog.Logger
}

func (c *Config) validate() error {
	if c.Interval < MinInterval {
		return fmt.Errorf("interval is %s: want %s or more", c.Interval, MinInterval)
	}
	return nil
}
