package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// generator is the program that sends captures.
const generator = "tcpreplay"

// replayed is what the generator sent.
type replayed struct {
	packets uint64
	seconds float64
}

var (
	sentPattern   = regexp.MustCompile(`Actual: (\d+) packets \(\d+ bytes\) sent in (\d+\.\d+) seconds`)
	failedPattern = regexp.MustCompile(`Failed packets: +(\d+)`)
)

// replay sends a capture a number of times over, as fast as the generator can, from a core of its own.
func (t *track) replay(ctx context.Context, file string, loops int) (replayed, error) {
	command := []string{
		generator, "--topspeed", "--preload-pcap", "--no-flow-stats", "--loop=" + strconv.Itoa(loops),
		"--intf1=" + t.link.Generator.Interface, file,
	}
	if t.cores.generator != "" {
		command = append([]string{"taskset", "--cpu-list", t.cores.generator}, command...)
	}
	text, err := t.link.Generator.Command(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return replayed{}, fmt.Errorf("%s: %w: %s", generator, err, text)
	}
	return parseReplay(text)
}

// parseReplay reads the generator's summary.
func parseReplay(text []byte) (replayed, error) {
	sent := sentPattern.FindSubmatch(text)
	if sent == nil {
		return replayed{}, fmt.Errorf("%s does not say what it sent: %s", generator, text)
	}
	packets, err := strconv.ParseUint(string(sent[1]), 10, 64)
	seconds, err2 := strconv.ParseFloat(string(sent[2]), 64)
	if failed, found := lastNumber(failedPattern, text); found && failed > 0 {
		return replayed{}, fmt.Errorf("%s failed to send %d packets", generator, failed)
	}
	return replayed{packets: packets, seconds: seconds}, errors.Join(err, err2)
}
