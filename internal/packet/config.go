package packet

import (
	"time"

	"flowsensor/internal/flow"
)

// Defaults of Config.
const (
	DefaultMaxFragments    = 16384
	DefaultFragmentTimeout = 30 * time.Second
)

// Config says what a Decoder keeps. The zero value is usable.
type Config struct {
	// VLANInKey makes the outermost two VLAN ids part of the key.
	VLANInKey bool
	// MaxFragments bounds the first fragments remembered at a time, about 64 octets each, rounded up to a power of two;
	// DefaultMaxFragments when 0 or less.
	MaxFragments int
	// FragmentTimeout is how long a first fragment is remembered, by the frames' time; DefaultFragmentTimeout when 0 or less.
	FragmentTimeout time.Duration
}

// Decoder turns frames into packets. Use NewDecoder; it is not safe for concurrent use, except for Stats.
type Decoder struct {
	keyVLAN   flow.VLAN // all ones where the VLAN ids are part of the key, else 0
	fragments fragmentTable
	counters  counters
}

// NewDecoder returns a decoder whose memory is allocated here, once and for all.
func NewDecoder(c Config) *Decoder {
	if c.MaxFragments <= 0 {
		c.MaxFragments = DefaultMaxFragments
	}
	if c.FragmentTimeout <= 0 {
		c.FragmentTimeout = DefaultFragmentTimeout
	}
	d := &Decoder{fragments: newFragmentTable(c.MaxFragments, c.FragmentTimeout)}
	if c.VLANInKey {
		d.keyVLAN = ^flow.VLAN(0)
	}
	return d
}
