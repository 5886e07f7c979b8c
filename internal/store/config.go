package store

import (
	"time"

	"flowsensor/internal/setting"
)

// Config bounds the pool. The zero value is not usable: start from DefaultConfig.
type Config struct {
	// Writers is the number of requests under way at the same time.
	Writers int
	// Queue is the number of records held at most, waiting or being written; a record costs about 128 bytes here and
	// about 300 more while it is being written.
	Queue int
	// Lines and Bytes close a chunk: it is written once it has that many lines or about that many bytes before
	// compression. A batch is never divided for Lines, so a chunk may be a batch longer.
	Lines, Bytes int
	// Age closes a chunk whose first batch has waited this long.
	Age time.Duration
	// RetryInitial and RetryMax are the first and the longest pause before a failed write is repeated; the pauses double
	// and are jittered by half.
	RetryInitial, RetryMax time.Duration
	// Longest is how long one write may take before its writer counts as stuck; see Pool.Turns.
	Longest time.Duration
}

// DefaultConfig gives the values that suit one InfluxDB. 5,000 lines are about 1.3 MiB, so that Bytes only cuts unusual
// lines.
func DefaultConfig() Config {
	return Config{
		Writers: 4, Queue: 500_000, Lines: 5_000, Bytes: 2 << 20, Age: time.Second,
		RetryInitial: 500 * time.Millisecond, RetryMax: 30 * time.Second, Longest: time.Minute,
	}
}

// Validate names the first value that cannot work, by a setting.KeyError.
func (c Config) Validate() error {
	switch {
	case c.Writers < 1 || c.Writers > 256:
		return setting.Errorf("writers", "%d: want 1 to 256", c.Writers)
	case c.Lines < 1 || c.Lines > 1_000_000:
		return setting.Errorf("lines", "%d: want 1 to 1000000", c.Lines)
	case c.Bytes < 1024 || c.Bytes > 256<<20:
		return setting.Errorf("size", "%d octets: want 1 KiB to 256 MiB", c.Bytes)
	case c.Queue < c.Lines || c.Queue > 100_000_000:
		return setting.Errorf("queue", "%d records: want %d (lines, for one request) to 100000000", c.Queue, c.Lines)
	case c.Age < time.Millisecond || c.Age > time.Hour:
		return setting.Errorf("age", "%s: want 1ms to 1h", c.Age)
	case c.RetryInitial < time.Millisecond || c.RetryInitial > time.Hour:
		return setting.Errorf("retry_first", "%s: want 1ms to 1h", c.RetryInitial)
	case c.RetryMax < c.RetryInitial || c.RetryMax > time.Hour:
		return setting.Errorf("retry_longest", "%s: want retry_first (%s) to 1h", c.RetryMax, c.RetryInitial)
	}
	return nil
}
