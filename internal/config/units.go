package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time written with its unit: "15s", "1m30s", "20ms". A bare number is refused, since the library
// would take it for nanoseconds.
type Duration time.Duration

// D gives the value as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf(`%q is not a duration: write a number with a unit, such as "500ms", "15s" or "1m30s"`, text)
	}
	if parsed < 0 {
		return fmt.Errorf("%q is negative", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Size is a number of octets written with its unit: "64MiB", "1472B", "2 GiB". Only the units of IEC 80000-13 are taken,
// since MB means two things. 0 needs none, as with Duration.
type Size int64

var sizeUnits = []struct {
	name  string
	shift int
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}

// Int gives the number of octets.
func (s Size) Int() int { return int(s) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	word := string(text)
	if word == "0" {
		*s = 0
		return nil
	}
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(word, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange) || n > math.MaxInt64>>unit.shift:
			return fmt.Errorf("%q is out of range", word)
		case err != nil:
			return sizeError(word)
		case n < 0:
			return fmt.Errorf("%q is negative", word)
		}
		*s = Size(n << unit.shift)
		return nil
	}
	return sizeError(word)
}

func sizeError(word string) error {
	return fmt.Errorf(`%q is not a size: write a whole number with a unit, B, KiB, MiB, GiB or TiB, such as "64MiB"`, word)
}

func (s Size) String() string {
	for _, unit := range sizeUnits {
		if n := int64(s) >> unit.shift; n > 0 && n<<unit.shift == int64(s) {
			return strconv.FormatInt(n, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
