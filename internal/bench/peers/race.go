package main

import (
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"time"

	"flowsensor/internal/bench/trace"
)

// race is one capture that several contestants get.
type race struct {
	name  string
	title string
	round time.Duration // what a round took on the machine it was first run on; only the proportions count
	make  func(dir string, seed uint64) (material, error)
	// against are the peers in it; nil is all, bestPeer the one that was best the last time that several ran.
	against []string
	quick   bool // part of -quick
}

// Best known peers: what -quick and the crowds are run against.
const (
	firstPeer  = "nfpcapd"
	secondPeer = "softflowd"
)

// material is the files of a race, with what is in them.
type material struct {
	warm, main string // live: sent once, and then loops times
	loops      int
	whole      string // read
	// size is that of whole, warmSize that of its part in which each flow of a crowd has its first packet: a share of the
	// size, as packets are of one mean length.
	size, warmSize int64
	warmSum        trace.Summary
	sum            trace.Summary // of main or whole
	flows          int           // a table of this size, a power of two, holds all
}

// packets is how many packets a contestant gets.
func (m *material) packets() uint64 { return m.warmSum.Packets + m.sum.Packets*uint64(m.loops) }

// snapped is how long packets are kept in files that are read: the headers of everything.
const snapped = 96

// The real-like capture.
const (
	realFlows   = 123_000
	realPackets = 568_000
	realLoops   = 5
)

func fileReal(dir string, seed uint64) (material, error) {
	return fileCapture(dir, seed, realTrace(snapped))
}

// fileCapture makes the material of a race that reads a file.
func fileCapture(dir string, seed uint64, write writer) (m material, err error) {
	m.whole, m.loops = filepath.Join(dir, "whole.pcap"), 1
	if m.sum, err = create(m.whole, seed, write); err != nil {
		return m, err
	}
	info, err := os.Stat(m.whole)
	if err != nil {
		return m, err
	}
	m.size, m.warmSize, m.flows = info.Size(), info.Size(), tableSize(m.sum)
	return m, nil
}

// writer writes a capture by seed.
type writer func(w io.Writer, seed uint64) (trace.Summary, error)

func create(path string, seed uint64, write writer) (trace.Summary, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return trace.Summary{}, err
	}
	sum, err := write(f, seed)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return sum, err
}

// tableSize is the next power of two.
func tableSize(sums ...trace.Summary) int {
	var flows uint64
	for _, s := range sums {
		flows += s.Flows
	}
	return 1 << bits.Len64(flows)
}

func liveReal(dir string, seed uint64) (m material, err error) {
	m.main, m.loops = filepath.Join(dir, "main.pcap"), realLoops
	m.sum, err = create(m.main, seed, realTrace(0))
	m.flows = tableSize(m.sum)
	return m, err
}

func realTrace(snap int) writer {
	return func(w io.Writer, seed uint64) (trace.Summary, error) {
		return trace.Real{Seed: seed, Flows: realFlows, Packets: realPackets}.Write(w, snap)
	}
}

// crowd is a trace.Crowd whose seed is yet to come.
type crowd struct{ flows, packets, share int }

func (c crowd) trace(seed uint64) trace.Crowd {
	return trace.Crowd{Seed: seed, Flows: c.flows, Packets: c.packets, New: c.share}
}

func (c crowd) live(dir string, seed uint64) (m material, err error) {
	m.warm, m.main, m.loops = filepath.Join(dir, "warm.pcap"), filepath.Join(dir, "main.pcap"), 1
	m.warmSum, err = create(m.warm, seed, func(w io.Writer, seed uint64) (trace.Summary, error) { return c.trace(seed).Warm(w, 0) })
	if err != nil {
		return m, err
	}
	m.sum, err = create(m.main, seed, func(w io.Writer, seed uint64) (trace.Summary, error) { return c.trace(seed).Steady(w, 0) })
	m.flows = tableSize(m.warmSum, m.sum)
	return m, err
}

func (c crowd) file(dir string, seed uint64) (material, error) {
	m, err := fileCapture(dir, seed, func(w io.Writer, seed uint64) (trace.Summary, error) {
		return c.trace(seed).Whole(w, snapped)
	})
	m.warmSize = m.size / int64(c.flows+c.packets) * int64(c.flows)
	return m, err
}

// Names of races that the report looks at.
const (
	live1K, live100K, live1M = "live-1k", "live-100k", "live-1m"
	liveRealName             = "live-real"
	fileRealName             = "file-real"
	file1K, file100K, file1M = "file-1k", "file-100k", "file-1m"
	file10M                  = "file-10m"
)

// bestPeer stands for a peer by what it has done.
const bestPeer = "best"

// Sizes of crowds' captures, without the first packet of each flow.
const (
	crowdPackets = 2_000_000
	hugePackets  = 3_000_000
)

// allRaces lists them in the order of the report.
func allRaces() []race {
	two, best := []string{firstPeer, secondPeer}, []string{bestPeer}
	k1, k100, m1 := crowd{1000, crowdPackets, 0}, crowd{100_000, crowdPackets, 0}, crowd{1_000_000, crowdPackets, 0}
	m1some, m1all, m10 := crowd{1_000_000, crowdPackets, 10}, crowd{1_000_000, crowdPackets, 100}, crowd{10_000_000, hugePackets, 0}
	s := time.Second
	return []race{
		{liveRealName, fmt.Sprintf("real-like, %d times over", realLoops), 45 * s, liveReal, nil, true},
		{live1K, "1 K flows", 21 * s, k1.live, two, true},
		{live100K, "100 K flows", 24 * s, k100.live, two, false},
		{live1M, "1 M flows", 30 * s, m1.live, two, true},
		{"live-1m-10", "1 M flows, 10 % new", 20 * s, m1some.live, best, false},
		{"live-1m-100", "1 M flows, 100 % new", 25 * s, m1all.live, best, false},
		{fileRealName, "real-like", 12 * s, fileReal, nil, true},
		{file1K, "1 K flows", 3 * s, k1.file, two, false},
		{file100K, "100 K flows", 8 * s, k100.file, two, false},
		{file1M, "1 M flows", 25 * s, m1.file, two, false},
		{"file-1m-10", "1 M flows, 10 % new", 12 * s, m1some.file, best, false},
		{"file-1m-100", "1 M flows, 100 % new", 16 * s, m1all.file, best, false},
		{file10M, "10 M flows", 95 * s, m10.file, best, false},
	}
}

// races gives those that the options ask for.
func (o *options) races() ([]race, error) {
	all := allRaces()
	for _, name := range o.only {
		if !slices.ContainsFunc(all, func(r race) bool { return r.name == name }) {
			return nil, fmt.Errorf("there is no race %q", name)
		}
	}
	all = slices.DeleteFunc(all, func(r race) bool {
		return o.quick && !r.quick || len(o.only) > 0 && !slices.Contains(o.only, r.name)
	})
	if o.quick {
		for i := range all {
			all[i].against = []string{firstPeer, secondPeer}
		}
	}
	return all, nil
}
