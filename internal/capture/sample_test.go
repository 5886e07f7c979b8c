package capture_test

import (
	"math"
	"testing"

	"flowsensor/internal/capture"
	"flowsensor/internal/testnet"
)

// The share that is taken is 1/N within five standard deviations, which chance alone leaves once in two million runs; the
// exclusion before it and the user's filter behind it change nothing.
func TestSample(t *testing.T) {
	requireTcpdump(t)
	eachEngine(t, testnet.Config{}, func(t rig) {
		t.cfg.Workers, t.cfg.Filter = 2, "udp port 9"
		t.cfg.Exclude = []capture.Exclusion{exclusion("", "198.51.100.9:9999")}
		for _, n := range []int{1, 3, 64} {
			t.cfg.Sample = n
			sample(t)
		}
	})
}

func sample(t rig) {
	t.Helper()
	const frames = 100_000
	tap := open(t, t.link.Capture, t.cfg)
	r, out := read(tap), sender(t, t.link.Generator)
	for i := range uint32(frames) {
		send(t, out, numbered(t.link.Generator, t.link.Capture, i))
		if i%4 == 0 {
			send(t, out, other(t.link, i)) // not what the filter asks for
		}
	}
	seen := make(map[uint32]bool)
	for _, f := range r.stop(t) {
		seen[numberOf(f.Frame)] = true
	}
	s := tap.Stats()
	if s.Received != uint64(len(seen))+s.Dropped || s.Dropped > 0 && t.cfg.Sample > 1 {
		t.Errorf("%d numbers among %+v", len(seen), s.RingStats)
	}
	n := float64(t.cfg.Sample)
	mean, deviation := frames/n, math.Sqrt(frames/n*(1-1/n))
	if off := float64(s.Received) - mean; math.Abs(off) > 5*deviation || s.Sample != t.cfg.Sample {
		t.Errorf("sample %d: %d frames of %d: %.1f more than expected, the standard deviation is %.1f", s.Sample, s.Received, frames, off, deviation)
	}
}
