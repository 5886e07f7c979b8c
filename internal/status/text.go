package status

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Count writes a number for people: with a space after each three digits.
func Count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var out strings.Builder
	for i, d := range []byte(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out.WriteByte(' ')
		}
		out.WriteByte(d)
	}
	return out.String()
}

// Counts writes what is above zero of counts by name, the names in order: "arp 3, own_traffic 1", or "none".
func Counts(counts map[string]uint64) string {
	var all []string
	for name, n := range counts {
		if n > 0 {
			all = append(all, name+" "+Count(n))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// Scaled writes a rate with three digits and the prefix of its thousands: "12.3k", "1.00G".
func Scaled(v float64) string {
	const prefixes = "kMGTP"
	if v < 999.5 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	i := -1
	for v >= 999.5 && i < len(prefixes)-1 {
		v /= 1000
		i++
	}
	decimals := 2
	switch {
	case v >= 99.95:
		decimals = 0
	case v >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + prefixes[i:i+1]
}

// Age writes a span of time for people: "3d4h", "2h5m", "41s".
func Age(d time.Duration) string {
	d = max(d, 0)
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s >= 24*3600:
		return fmt.Sprintf("%dd%dh", s/(24*3600), s/3600%24)
	case s >= 3600:
		return fmt.Sprintf("%dh%dm", s/3600, s/60%60)
	case s >= 60:
		return fmt.Sprintf("%dm%ds", s/60, s%60)
	case s < 1 && d > 0:
		return d.Round(time.Millisecond).String()
	default:
		return fmt.Sprintf("%ds", s)
	}
}

// Table writes aligned columns; the first row is the head. An empty cell shows as a hyphen.
func Table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			if cells[i] = c; c == "" {
				cells[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// Offset writes a difference of clocks in seconds for people, with its sign.
func Offset(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d.Abs() >= time.Minute:
		d = d.Round(time.Second)
	case d.Abs() >= time.Second:
		d = d.Round(10 * time.Millisecond)
	default:
		d = d.Round(100 * time.Microsecond)
	}
	if d > 0 {
		return "+" + d.String()
	}
	return d.String()
}
