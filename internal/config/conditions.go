package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

// OneOf refuses a word that is not among the allowed ones.
func OneOf(got string, allowed ...string) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	return fmt.Errorf("%q: want one of %q", got, allowed)
}

// Between refuses a number outside low to high, both allowed.
func Between(got, low, high int) error {
	if got >= low && got <= high {
		return nil
	}
	return fmt.Errorf("%d is out of range: want %d to %d", got, low, high)
}

// DurationBetween refuses a duration outside low to high, both allowed.
func DurationBetween(got Duration, low, high time.Duration) error {
	if got.D() >= low && got.D() <= high {
		return nil
	}
	return fmt.Errorf("%s is out of range: want %s to %s", got.D(), low, high)
}

// HostPort refuses what is not "host:port" with a host and a port number.
func HostPort(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf(`%q is no "host:port" (IPv6: "[address]:port")`, address)
	}
	n, err := strconv.Atoi(port)
	if host == "" || err != nil || n < 1 || n > 65535 {
		return fmt.Errorf(`%q: want "host:port" with a port from 1 to 65535`, address)
	}
	return nil
}
