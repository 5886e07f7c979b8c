package files

import (
	"strings"
	"time"

	"flowsensor/internal/store"
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

// Validate names the first value that cannot work, by a store.KeyError.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return store.KeyErrorf("directory", "no directory given")
	case c.MaxSize < 4096:
		return store.KeyErrorf("max_size", "file size is %d bytes, must be at least 4 KiB", c.MaxSize)
	case c.MaxAge < time.Second:
		return store.KeyErrorf("max_age", "file age is %s, must be at least 1s", c.MaxAge)
	case c.MaxTotal != 0 && c.MaxTotal < 2*c.MaxSize:
		return store.KeyErrorf("max_total", "total size is %d bytes, must be 0 or at least two files of %d", c.MaxTotal, c.MaxSize)
	case c.Compression > Gzip:
		return store.KeyErrorf("compression", "unknown compression %d", c.Compression)
	case c.Database == "" || strings.ContainsAny(c.Database, "\r\n"):
		return store.KeyErrorf("database", "the database's name is empty or more than a line")
	}
	return nil
}
