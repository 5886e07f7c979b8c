package flowtable

import (
	"errors"
	"fmt"
	"time"
)

const (
	// maxFlows keeps the numbers of entries below none.
	maxFlows = 1 << 28
	// maxTimer keeps twice the longest timer within 63 bits.
	maxTimer = time.Duration(1) << 60
)

// ErrConfig is wrapped by the errors of New that the configuration is to blame for.
var ErrConfig = errors.New("flow table configuration")

// Config says how many flows a table holds and how they age.
type Config struct {
	// MaxFlows is how many flows are held at once, at least 1. Each takes 119 bytes of memory, from its first use on.
	MaxFlows int
	// Active is how old a record may grow, from its first packet on; more than 0.
	Active time.Duration
	// Inactive is how long a flow is kept after its last packet; more than 0.
	Inactive time.Duration
	// Linger is how long a flow is kept after its last packet once a FIN or RST was seen; 0 or more.
	Linger time.Duration
}

func (c Config) validate() error {
	if c.MaxFlows < 1 || c.MaxFlows > maxFlows {
		return fmt.Errorf("%w: max flows %d is outside 1 to %d", ErrConfig, c.MaxFlows, maxFlows)
	}
	for _, timer := range []struct {
		name       string
		value, min time.Duration
	}{{"active", c.Active, 1}, {"inactive", c.Inactive, 1}, {"linger", c.Linger, 0}} {
		if timer.value < timer.min || timer.value > maxTimer {
			return fmt.Errorf("%w: %s timeout %s is outside %s to %s", ErrConfig, timer.name, timer.value, timer.min, maxTimer)
		}
	}
	return nil
}
