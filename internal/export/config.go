package export

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// Delivery says what is done for a datagram after it was sent. The zero value is invalid.
type Delivery uint8

// The ways of delivery.
const (
	_ Delivery = iota
	// FireAndForget sends every batch once.
	FireAndForget
	// Acknowledged keeps every batch until the collector says that it is durable, and sends it again until then.
	Acknowledged
)

var deliveryNames = [...]string{FireAndForget: "fire-and-forget", Acknowledged: "acknowledged"}

// Valid reports whether d is one of the named ways.
func (d Delivery) Valid() bool { return d > 0 && int(d) < len(deliveryNames) }

func (d Delivery) String() string {
	if d.Valid() {
		return deliveryNames[d]
	}
	return fmt.Sprintf("Delivery(%d)", uint8(d))
}

// UnmarshalText takes the name in the configuration.
func (d *Delivery) UnmarshalText(text []byte) error {
	for way := FireAndForget; way.Valid(); way++ {
		if string(text) == deliveryNames[way] {
			*d = way
			return nil
		}
	}
	return fmt.Errorf("delivery %q: expected %q or %q", text, Acknowledged, FireAndForget)
}

// MarshalText gives the name in the configuration.
func (d Delivery) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Absence says what to do where the collector's name is not found, or has no route to it, at the start.
type Absence uint8

const (
	// Refuse gives the error: what a command for one file needs.
	Refuse Absence = iota
	// LookOn begins without a collector and looks for it every few seconds: what a daemon needs, whose machine may be up
	// before its network is. With acknowledged delivery what it sends is kept meanwhile; without, there is nothing to keep it, and
	// the error is given.
	LookOn
)

// Keeping says where the marks live that keep point times unique. The zero value is invalid.
type Keeping uint8

// The places.
const (
	_ Keeping = iota
	// InStateDir keeps them over restarts, in a file in Config.StateDir: what a daemon needs.
	InStateDir
	// InMemory forgets them: for a command that sends a capture file once.
	InMemory
)

// Config is what a Sender needs. DefaultConfig fills all but the ID, Key, Collector and StateDir. The errors of
// Validate name the key of the configuration file.
type Config struct {
	ID        string   // the sensor's
	Key       seal.Key // Sender.SetKey changes it later
	Collector string   // "host:port", "[v6]:port" or "name:port"
	// Standby are further collectors of the same journal: where one is silent the next is taken.
	Standby  []string
	Delivery Delivery

	// Acknowledged delivery alone. A batch is sent again ResendAfter after it was sent, then after twice that, up to
	// ResendMost; after SpoolAfter it is in the spool too. A collector that is silent for FailoverAfter is left for the next.
	ResendAfter, ResendMost, SpoolAfter, FailoverAfter time.Duration
	// SpoolSize bounds the spool in bytes; 0 means none. It lies in SpoolDir, or in StateDir when that is "", and needs
	// InStateDir.
	SpoolSize int64
	SpoolDir  string

	// MaxDatagram is the longest UDP payload to an IPv4 peer. An IPv6 peer gets 20 octets less, as its header is 20
	// longer. The path's MTU may lower it further at run time.
	MaxDatagram int
	// FlushInterval is the most time from Batcher.Add to the datagram, given a worker that calls Flush often.
	FlushInterval time.Duration
	// Queue is how many batches of BatchRecords records may wait for the sender; memory is taken for all at start.
	Queue int
	// SendBuffer is asked of the kernel in octets, which grants up to net.core.wmem_max; see Stats.SendBuffer.
	SendBuffer int
	Keeping    Keeping
	StateDir   string // with InStateDir

	// ResolveInterval is how often a collector's name is looked up again. A failing send looks it up at once.
	ResolveInterval time.Duration
	// Resolve looks up a host name; addresses in the order of preference.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Absent says what becomes of a Sender whose collector cannot be looked up, or has no route, at the start.
	Absent Absence
	// Clock is the wall clock for stamps and tokens.
	Clock func() time.Time
	// Moved is told of new ends of the socket before the first datagram leaves there, and may take its time to renew a
	// capture filter: until it returns, and shortly after, datagrams leave on the old ends. Nil: nobody wants to know.
	Moved func(from, to Endpoints)
}

// The limits of Config.
const (
	// DefaultMaxDatagram is what fits an Ethernet frame of 1500 octets with an IPv4 header; an IPv6 peer gets 1452.
	DefaultMaxDatagram = 1472
	maxMaxDatagram     = 65507 // 65535 less the headers of IPv4 and UDP
	maxQueue           = 1 << 16
	minSpool           = 64 << 10
	minFlushInterval   = 10 * time.Millisecond
	maxFlushInterval   = time.Minute
)

// DefaultConfig gives the defaults: what stands in the manual.
func DefaultConfig() Config {
	return Config{
		MaxDatagram:     DefaultMaxDatagram,
		FlushInterval:   time.Second,
		Queue:           256,
		Delivery:        Acknowledged,
		ResendAfter:     time.Second,
		ResendMost:      30 * time.Second,
		SpoolAfter:      2 * time.Second,
		FailoverAfter:   10 * time.Second,
		SpoolSize:       256 << 20,
		SendBuffer:      4 << 20,
		Keeping:         InStateDir,
		ResolveInterval: 5 * time.Minute,
		Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		Clock: time.Now,
	}
}

// Validate refuses what NewSender cannot work with; it opens nothing and looks nothing up.
func (c *Config) Validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := seal.ValidID(c.ID); err != nil {
		refuse("id: %w", err)
	} else if least := LeastDatagram(c.ID); c.MaxDatagram < least || c.MaxDatagram > maxMaxDatagram {
		refuse("max_datagram: %d is not between %d (with an id of this length) and %d", c.MaxDatagram, least, maxMaxDatagram)
	}
	if c.Key.IsZero() {
		refuse("key_file: there is no key")
	}
	c.validateDelivery(refuse)
	if c.FlushInterval < minFlushInterval || c.FlushInterval > maxFlushInterval {
		refuse("flush_interval: %v is not between %v and %v", c.FlushInterval, minFlushInterval, maxFlushInterval)
	}
	if c.Queue < 1 || c.Queue > maxQueue {
		refuse("queue: %d is not between 1 and %d batches", c.Queue, maxQueue)
	}
	if c.SendBuffer < 0 {
		refuse("send_buffer: %d is negative", c.SendBuffer)
	}
	switch {
	case c.Keeping != InStateDir && c.Keeping != InMemory:
		refuse("keeping of the stamps: %d is unknown", c.Keeping)
	case c.Keeping == InStateDir && c.StateDir == "":
		refuse("state_dir: not set, but needed to keep point times unique over restarts")
	}
	if c.ResolveInterval < time.Second {
		refuse("resolve_interval: %v is under a second", c.ResolveInterval)
	}
	if c.Resolve == nil || c.Clock == nil {
		refuse("resolver and clock must be set: begin with DefaultConfig")
	}
	return errors.Join(errs...)
}

func (c *Config) validateDelivery(refuse func(format string, args ...any)) {
	for _, collector := range append([]string{c.Collector}, c.Standby...) {
		if _, _, err := splitCollector(collector); err != nil {
			refuse("collector: %w", err)
		}
	}
	if !c.Delivery.Valid() {
		refuse("delivery: expected %q or %q", Acknowledged, FireAndForget)
	}
	if c.ResendAfter <= 0 || c.ResendMost < c.ResendAfter || c.SpoolAfter <= 0 || c.FailoverAfter <= 0 {
		refuse("times of delivery: %v to %v, spool after %v, failover after %v: begin with DefaultConfig",
			c.ResendAfter, c.ResendMost, c.SpoolAfter, c.FailoverAfter)
	}
	if c.SpoolSize < 0 || c.SpoolSize > 0 && c.SpoolSize < minSpool {
		refuse("spool_size: %d is neither 0 nor at least %d", c.SpoolSize, minSpool)
	}
}

// splitCollector takes "host:port" apart.
func splitCollector(text string) (host string, port uint16, err error) {
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, fmt.Errorf("%w: expected host:port", err)
	}
	n, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q: port %q is not a number from 1 to 65535", text, portText)
	}
	if host == "" {
		return "", 0, fmt.Errorf("%q: no host", text)
	}
	return host, uint16(n), nil
}

// Octets of the headers below the UDP payload.
const (
	headersV4        = 20 + 8
	headersV6        = 40 + 8
	familyDifference = headersV6 - headersV4
)

// bodyLimit is how long a flows body may be in a datagram of that length.
func bodyLimit(datagram, idLen int) int {
	return seal.MaxPlaintext(datagram, idLen) - wire.HeaderLen(idLen)
}

// LeastDatagram is the smallest Config.MaxDatagram for a sensor of that id: over IPv6 too any record fits in.
func LeastDatagram(id string) int { return leastDatagram(len(id)) + familyDifference }

// leastDatagram is the shortest datagram that any record fits in.
func leastDatagram(idLen int) int {
	n := wire.MinBody
	for bodyLimit(n, idLen) < wire.MinBody {
		n++
	}
	return n
}
