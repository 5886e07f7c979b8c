package flow

import (
	"maps"
	"slices"
)

// Reading is what one meter of a ledger shows. Readings of one subject that follow each other in ascending order of their
// names are one group: one point in the database. Meters that count do so since the boot of their batch, so that a report which never arrives takes nothing
// from the sums.
type Reading struct {
	// Subject is what was metered: an interface, or of a collector's ledger a sensor; "" is the whole.
	Subject string
	Name    string // see ValidReadingName
	Value   int64
}

// MaxReadingName is the longest name of a meter.
const MaxReadingName = 64

// ValidReadingName reports whether name can be a field's name everywhere: a lower-case letter, then such letters, digits
// and underscores, at most MaxReadingName in all; "boot" and "time" stand for something else there.
func ValidReadingName(name string) bool {
	if name == "boot" || name == "time" || name == "" || len(name) > MaxReadingName || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// Groups gives the readings group by group.
func Groups(readings []Reading) func(yield func([]Reading) bool) {
	return func(yield func([]Reading) bool) {
		for len(readings) > 0 {
			n := 1
			for n < len(readings) && readings[n].Subject == readings[0].Subject && readings[n].Name > readings[n-1].Name {
				n++
			}
			if !yield(readings[:n]) {
				return
			}
			readings = readings[n:]
		}
	}
}

// Meters are the readings of one subject on their way, by name, so that none comes twice. Most of them count; one that may be
// negative is its two's complement.
type Meters map[string]uint64

// Readings gives them in the order of their names: one group.
func (m Meters) Readings(subject string) []Reading {
	all := make([]Reading, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, Reading{Subject: subject, Name: name, Value: int64(m[name])})
	}
	return all
}
