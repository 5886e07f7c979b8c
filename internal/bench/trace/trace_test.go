package trace_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"

	"flowsensor/internal/bench/trace"
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
	"flowsensor/internal/pcapfile"
)

// seen is what the project's own reader and decoder make of a capture.
type seen struct {
	trace.Summary
	fullSegments, small, ipv6 int
	last                      int64
	perFlow                   map[flow.Key]int
}

// read decodes a capture; every packet must decode, keep its length and come no earlier than the one before.
func read(t *testing.T, write func(w io.Writer) (trace.Summary, error)) (trace.Summary, seen) {
	t.Helper()
	var out bytes.Buffer
	said, err := write(&out)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.pcap")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := pcapfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	decoder := packet.NewDecoder(packet.Config{})
	s := seen{perFlow: make(map[flow.Key]int)}
	err = r.Walk(func(f *frame.Frame) {
		var p flow.Packet
		if reason := decoder.Decode(&p, f); reason != packet.OK {
			t.Fatalf("packet %d is refused: %v", s.Packets, reason)
		}
		if p.Bytes+14 != uint64(f.Len) {
			t.Fatalf("packet %d: %d octets of IP in a frame of %d", s.Packets, p.Bytes, f.Len)
		}
		if f.Time < s.last {
			t.Fatalf("packet %d is earlier than the one before", s.Packets)
		}
		if f.Len > 1514 {
			t.Fatalf("packet %d of %d octets fits no Ethernet", s.Packets, f.Len)
		}
		s.last = f.Time
		s.Packets++
		s.Octets += uint64(f.Len)
		s.perFlow[p.Key]++
		switch {
		case f.Len >= 1200:
			s.fullSegments++
		case f.Len <= 100:
			s.small++
		}
		if p.Version == 6 {
			s.ipv6++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Flows = uint64(len(s.perFlow))
	return said, s
}

func TestRealHasExactlyTheFlowsAndPacketsAskedFor(t *testing.T) {
	traffic := trace.Real{Seed: 1, Flows: 12_301, Packets: 56_801}
	for _, snap := range []int{0, 96} {
		said, got := read(t, func(w io.Writer) (trace.Summary, error) { return traffic.Write(w, snap) })
		if got.Packets != 56_801 || got.Flows != 12_301 || said != got.Summary {
			t.Errorf("snap %d: said %+v, holds %+v", snap, said, got.Summary)
		}
		percent := func(n int) int { return n * 100 / int(got.Packets) }
		if big, small := percent(got.fullSegments), percent(got.small); big < 15 || big > 55 || small < 25 || small > 60 {
			t.Errorf("%d %% full and %d %% small packets is no real mix", big, small)
		}
		if six := percent(got.ipv6); six < 5 || six > 40 {
			t.Errorf("%d %% IPv6", six)
		}
		largest := 0
		for _, n := range got.perFlow {
			largest = max(largest, n)
		}
		if largest < 300 {
			t.Errorf("the largest flow has %d packets: there is no elephant", largest)
		}
	}
}

func TestRealRefusesTooFewPackets(t *testing.T) {
	if _, err := (trace.Real{Flows: 1000, Packets: 1000}).Write(io.Discard, 0); err == nil {
		t.Error("1000 packets were spread over 1000 flows of conversations")
	}
}

func TestCrowdKeepsItsNumberOfFlows(t *testing.T) {
	for _, c := range []struct{ share, flows int }{{0, 1000}, {10, 1000 + 2000}, {100, 1000 + 20_000}} {
		crowd := trace.Crowd{Seed: 1, Flows: 1000, Packets: 20_000, New: c.share}
		said, got := read(t, func(w io.Writer) (trace.Summary, error) { return crowd.Whole(w, 96) })
		if got.Packets != 21_000 || got.Flows != uint64(c.flows) || said != got.Summary {
			t.Errorf("%d %% new: said %+v, holds %+v, want %d flows", c.share, said, got.Summary, c.flows)
		}
		if said.Octets > said.Packets*96 {
			t.Errorf("mean %d octets: a snap length of 96 cuts packets", said.Mean())
		}
	}
}

func TestWarmAndSteadyAreTheWhole(t *testing.T) {
	const header = 24
	crowd := trace.Crowd{Seed: 2, Flows: 300, Packets: 1000, New: 10}
	var warm, steady, whole bytes.Buffer
	for w, write := range map[*bytes.Buffer]func(io.Writer, int) (trace.Summary, error){
		&warm: crowd.Warm, &steady: crowd.Steady, &whole: crowd.Whole,
	} {
		if _, err := write(w, 96); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(whole.Bytes(), append(warm.Bytes(), steady.Bytes()[header:]...)) {
		t.Error("the parts are not the whole")
	}
}

// TestSeedDecidesEverything holds the octets of captures: figures of different versions compare only when they are
// measured with the same traffic.
func TestSeedDecidesEverything(t *testing.T) {
	sum := func(write func(io.Writer, int) (trace.Summary, error)) string {
		h := sha256.New()
		if _, err := write(h, 0); err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(h.Sum(nil)[:8])
	}
	traffic, crowd := trace.Real{Seed: 1, Flows: 3000, Packets: 20_000}, trace.Crowd{Seed: 1, Flows: 300, Packets: 1000, New: 10}
	if got, want := sum(traffic.Write)+" "+sum(crowd.Whole), "274feb27931cdb7e 6b9ffb88980c9c5e"; got != want {
		t.Errorf("got %q, want %q: earlier figures compare no longer", got, want)
	}
	other := traffic
	other.Seed = 2
	if sum(other.Write) == sum(traffic.Write) {
		t.Error("the seed decides nothing")
	}
}
