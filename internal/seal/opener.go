package seal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/fernet/fernet-go"
)

// Defaults of Limits.
const (
	DefaultTTL  = 5 * time.Second
	DefaultSkew = 5 * time.Second
)

// MaxKeys is the most keys a sensor has at a time: the new and the old one of a rotation.
const MaxKeys = 2

// Errors that NewOpener gives, for errors.Is; ErrID and ErrNoKey too.
var (
	ErrDuplicateID  = errors.New("sensor id stands twice")
	ErrDuplicateKey = errors.New("the same key stands twice: every sensor needs its own")
	ErrTooManyKeys  = errors.New("too many keys, at most the new and the old one")
	ErrPrefix       = errors.New("address prefix is not valid")
)

// Sensor is who may send.
type Sensor struct {
	ID   string
	Keys []Key // newest first, 1 to MaxKeys
	// Prefixes it may send from; none means any. IPv4 is IPv4 here, also where the socket shows it as ::ffff:192.0.2.1.
	Prefixes []netip.Prefix
}

// Limits say how far a token's stamp may lie from the receive time. Stamps are whole seconds, cut downwards, so the
// receive time is cut in the same way and the two seconds are compared: a token is old when it lies more than TTL behind,
// ahead when it lies more than Skew before. So a token whose true age is not above TTL is never refused, and one whose
// age is TTL + 1 s or more always is; likewise ahead.
type Limits struct {
	TTL  time.Duration // 0 means DefaultTTL, below zero no limit
	Skew time.Duration // 0 means DefaultSkew, below zero no limit
}

// Opened is an authentic datagram.
type Opened struct {
	Sensor    *Sensor   // the opener's own copy: not to be changed
	KeyIndex  int       // which of Sensor.Keys opened it: the one to seal an answer with
	Plaintext []byte    // what was appended to the caller's buffer
	Sealed    time.Time // the token's stamp, whole seconds
	// Offset estimates the sender's clock minus the receiver's: half a second of error from the stamp, plus the path.
	Offset time.Duration
}

// Opener opens the datagrams of a set of sensors. It is immutable: any number of goroutines may use it, and a reload
// makes a new one.
type Opener struct {
	sensors map[string]*opening
	ttl     int64 // seconds
	skew    int64
}

// opening is a sensor as Open needs it.
type opening struct {
	sensor Sensor
	keys   []*fernet.Key // as sensor.Keys
}

// NewOpener makes an Opener. It refuses an id that is not valid or there twice, a sensor without a key or with more than
// MaxKeys, and a key that is there twice: under one id it does nothing, under two each could speak as the other.
func NewOpener(sensors []Sensor, limits Limits) (*Opener, error) {
	o := &Opener{
		sensors: make(map[string]*opening, len(sensors)),
		ttl:     seconds(limits.TTL, DefaultTTL), skew: seconds(limits.Skew, DefaultSkew),
	}
	// By digest, so that the map holds no secret.
	owner := make(map[[sha256.Size]byte]string, len(sensors))
	for i := range sensors {
		s := &sensors[i]
		entry, err := newOpening(s)
		if err != nil {
			return nil, fmt.Errorf("sensor %q: %w", s.ID, err)
		}
		if o.sensors[s.ID] != nil {
			return nil, fmt.Errorf("sensor %q: %w", s.ID, ErrDuplicateID)
		}
		for _, key := range entry.keys {
			digest := sha256.Sum256(key[:])
			if other, taken := owner[digest]; taken {
				return nil, fmt.Errorf("sensors %q and %q: %w", other, s.ID, ErrDuplicateKey)
			}
			owner[digest] = s.ID
		}
		o.sensors[s.ID] = entry
	}
	return o, nil
}

// IDs gives the ids of all sensors, sorted.
func (o *Opener) IDs() []string { return slices.Sorted(maps.Keys(o.sensors)) }

// seconds turns a limit into whole seconds, which is exact: what it is compared with is a whole number.
func seconds(limit, otherwise time.Duration) int64 {
	switch {
	case limit == 0:
		limit = otherwise
	case limit < 0:
		return math.MaxInt64
	}
	return int64(limit / time.Second)
}

// newOpening copies s, so that what the caller does with it later changes nothing.
func newOpening(s *Sensor) (*opening, error) {
	if err := ValidID(s.ID); err != nil {
		return nil, err
	}
	if len(s.Keys) > MaxKeys {
		return nil, fmt.Errorf("%w: %d", ErrTooManyKeys, len(s.Keys))
	}
	if len(s.Keys) == 0 || slices.ContainsFunc(s.Keys, Key.IsZero) {
		return nil, ErrNoKey
	}
	entry := &opening{sensor: Sensor{ID: s.ID, Keys: slices.Clone(s.Keys)}}
	for _, k := range s.Keys {
		entry.keys = append(entry.keys, k.secret.key)
	}
	for _, p := range s.Prefixes {
		if !p.IsValid() {
			return nil, ErrPrefix
		}
		entry.sensor.Prefixes = append(entry.sensor.Prefixes, unmap(p))
	}
	return entry, nil
}

// unmap gives the IPv4 form of a prefix written as ::ffff:192.0.2.0/120.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// allows reports whether the sensor may send from there.
func (e *opening) allows(from netip.Addr) bool {
	if len(e.sensor.Prefixes) == 0 {
		return true
	}
	from = from.Unmap().WithZone("") // a prefix contains no address with a zone
	for _, p := range e.sensor.Prefixes {
		if p.Contains(from) {
			return true
		}
	}
	return false
}
