package files

import (
	"strings"
	"time"

	"flowsensor/internal/setting"
)

// Compression is what becomes of a complete file.
type Compression uint8

// The compressions. The zero value is the default.
const (
	None Compression = iota
	Gzip
)

// Config says where files are kept and how much of them. The zero value is not usable: start from DefaultConfig.
type Config struct {
	// Dir is made when missing, with mode 0750.
	Dir string
	// MaxSize and MaxAge complete a file: before it would grow beyond the size, and when its first line is that old.
	MaxSize int64
	MaxAge  time.Duration
	// MaxTotal bounds what all files take; the oldest complete ones are removed, counted and logged. 0 keeps everything,
	// until the disk is full.
	MaxTotal    int64
	Compression Compression
	// Database stands in the head of each file, for `influx -import`.
	Database string
}

// DefaultConfig keeps the last 10 GiB (about 40 million flows), because the files are what a collector falls back on and
// must not fill a disk that nobody watches.
func DefaultConfig() Config {
	return Config{MaxSize: 64 << 20, MaxAge: time.Hour, MaxTotal: 10 << 30, Database: "flows"}
}

// Validate names the first value that cannot work, by a setting.KeyError.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return setting.Errorf("directory", "must name a directory")
	case c.MaxSize < 4096:
		return setting.Errorf("max_size", "%d octets: want 4 KiB or more", c.MaxSize)
	case c.MaxAge < time.Second:
		return setting.Errorf("max_age", "%s: want 1s or more", c.MaxAge)
	case c.MaxTotal != 0 && c.MaxTotal < 2*c.MaxSize:
		return setting.Errorf("max_total", "%d octets: want 0, or two files of max_size (%d) and more", c.MaxTotal, c.MaxSize)
	case c.Compression > Gzip:
		return setting.Errorf("compression", "%d is unknown", c.Compression)
	case c.Database == "" || strings.ContainsAny(c.Database, "\r\n"):
		return setting.Errorf("database", "%q: want the name of a database, in one line", c.Database)
	}
	return nil
}
