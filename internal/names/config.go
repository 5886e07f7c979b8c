package names

import (
	"time"

	"flowsensor/internal/setting"
)

// Limits of Config.
const (
	MinEntries = 1 << 10
	MaxEntries = 1 << 26
	maxGrace   = 7 * 24 * time.Hour
)

// Config says how much is remembered. The zero value is not usable; see DefaultConfig.
type Config struct {
	// MaxEntries is how many answers are kept at most, each of one client and one address.
	MaxEntries int
	// MaxPerClient is how many of these may be one client's.
	MaxPerClient int
	// Grace is for how long an answer holds after its time to live.
	Grace time.Duration
}

// DefaultConfig takes some 50 MB when it is full.
func DefaultConfig() Config {
	return Config{MaxEntries: 1 << 18, MaxPerClient: 1 << 12, Grace: 15 * time.Minute}
}

// Validate names the first value that cannot work, by a setting.KeyError.
func (c Config) Validate() error {
	switch {
	case c.MaxEntries < MinEntries || c.MaxEntries > MaxEntries:
		return setting.Errorf("max_entries", "%d: want %d to %d", c.MaxEntries, MinEntries, MaxEntries)
	case c.MaxPerClient < 1 || c.MaxPerClient > c.MaxEntries:
		return setting.Errorf("max_per_client", "%d: want 1 to max_entries (%d)", c.MaxPerClient, c.MaxEntries)
	case c.Grace < 0 || c.Grace > maxGrace:
		return setting.Errorf("grace", "%s: want 0s to %s", c.Grace, maxGrace)
	default:
		return nil
	}
}
