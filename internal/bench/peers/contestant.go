package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"

	"flowsensor/internal/seal"
	"flowsensor/internal/testnet"
)

// field is who runs, ours first, and the versions of all and of the generator.
type field struct {
	all      []contestant
	versions []string
}

// newField makes sure that everyone is there.
func newField(ctx context.Context, h *testnet.Host, sensor string, key seal.Key) (field, error) {
	f := field{all: []contestant{ours(sensor, key), acked(sensor, key), nfpcapd(), softflowd(), pmacctd(), argus()}}
	ask := map[string][]string{generator: {generator, "--version"}}
	names := []string{}
	for _, c := range f.all {
		if c.name != ackedName { // the same program
			ask[c.name], names = c.version, append(names, c.name)
		}
	}
	for _, name := range append(names, generator) {
		version, err := versionOf(ctx, h, ask[name])
		if err != nil {
			return field{}, err
		}
		f.versions = append(f.versions, name+" "+version)
	}
	return f, nil
}

// job is one run of one contestant.
type job struct {
	iface string // captured on; "" where a file is read
	file  string // read; "" where an interface is captured on
	dir   string // its own, for configuration, export and log
	flows int    // at most at a time
}

func (j job) path(name string) string { return filepath.Join(j.dir, name) }

// contestant is a program in the race: how it is started, ended and asked what it did.
type contestant struct {
	name string
	// command starts it; it writes a configuration first where the program needs one.
	command func(j job) ([]string, error)
	// version prints the program's version somewhere.
	version []string
	// end is the signal at which it exports everything and ends, quit the command that makes it do so where it has one.
	end  syscall.Signal
	quit func(j job) []string
	// ask prints counts before its end, tell after it; nil where its log has them.
	ask, tell func(j job) []string
	// sends says that it exports over the network.
	sends bool
	// accounted finds the packets in its flows, received and dropped the kernel's counts, in its log and what ask and tell
	// print. nil where it says none.
	accounted, received, dropped *regexp.Regexp
}

// Timeouts of everyone, in seconds: longer than any crowd's capture lasts, so that all do the same work.
const (
	active   = 300
	inactive = 120
)

// buffer is everyone's ring, in octets, and snap what the peers capture of a packet: all headers, as they need no more.
const (
	buffer = 64 << 20
	snap   = 128
)

// accountedIn is the number of packets that a contestant has in its flows.
func (c *contestant) accountedIn(text []byte) (uint64, error) {
	if n, found := lastNumber(c.accounted, text); found {
		return n, nil
	}
	received, found := lastNumber(c.received, text)
	dropped, both := lastNumber(c.dropped, text)
	if !found || !both || dropped > received {
		return 0, fmt.Errorf("%s does not say how many packets it took", c.name)
	}
	return received - dropped, nil
}

// lastNumber finds the first group of the last match.
func lastNumber(pattern *regexp.Regexp, text []byte) (uint64, bool) {
	if pattern == nil {
		return 0, false
	}
	all := pattern.FindAllSubmatch(text, -1)
	if len(all) == 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(all[len(all)-1][1]), 10, 64)
	return n, err == nil
}

var versionPattern = regexp.MustCompile(`\d+(\.\d+)+(-[0-9a-z.+-]*[0-9a-z])?`)

// versionOf runs a program to print its version, wherever in its words that is.
func versionOf(ctx context.Context, h *testnet.Host, command []string) (string, error) {
	text, err := h.Command(ctx, command[0], command[1:]...).CombinedOutput() // some end with an error after their usage
	if version := versionPattern.Find(text); version != nil {
		return string(version), nil
	}
	return "", fmt.Errorf("version of %s: %w", command[0], err)
}

func write(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
