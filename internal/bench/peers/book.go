package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// book holds the results of all races.
type book struct{ entries []*entry }

// entry is one race's results.
type entry struct {
	race     race
	material material
	rounds   map[string][]outcome // by contestant, in the order of the rounds
	failed   map[string]error     // the last failure
}

func (b *book) enter(r race, m material) *entry {
	e := &entry{race: r, material: m, rounds: make(map[string][]outcome), failed: make(map[string]error)}
	b.entries = append(b.entries, e)
	return e
}

// note keeps a result, and shows it.
func (e *entry) note(log io.Writer, who string, o outcome, err error) {
	if err != nil {
		e.failed[who] = err
		_, _ = fmt.Fprintf(log, "  %v\n", err) // progress
		return
	}
	e.rounds[who] = append(e.rounds[who], o)
	_, _ = fmt.Fprintf(log, "  %-12s %6.0f ns a packet, %.1f %% lost, %d MiB\n", who, o.perPacket, o.lost*100, o.memory.peak>>20)
}

func (b *book) find(name string) *entry {
	for _, e := range b.entries {
		if e.race.name == name {
			return e
		}
	}
	return nil
}

// bestSoFar is the best peer of the last race that had several, the best known before that.
func (b *book) bestSoFar() string {
	for _, e := range slices.Backward(b.entries) {
		if len(e.rounds) > 2 {
			return e.best()
		}
	}
	return firstPeer
}

// best is the peer that spent least.
func (e *entry) best() string {
	best, least := firstPeer, 0.0
	if e == nil {
		return best
	}
	for _, who := range slices.Sorted(maps.Keys(e.rounds)) {
		if spent := e.median(who, perPacket); who != ourName && who != ackedName && (least == 0 || spent < least) {
			best, least = who, spent
		}
	}
	return best
}

// The figures of an outcome.
func perPacket(o outcome) float64 { return o.perPacket }
func steady(o outcome) float64    { return o.steady }
func lost(o outcome) float64      { return o.lost }
func rate(o outcome) float64      { return o.rate }
func peak(o outcome) float64      { return float64(o.memory.peak) }
func anon(o outcome) float64      { return float64(o.memory.anon) }

// median of a figure over the rounds; 0 where there are none.
func (e *entry) median(who string, figure func(outcome) float64) float64 {
	if e == nil {
		return 0
	}
	var all []float64
	for _, o := range e.rounds[who] {
		all = append(all, figure(o))
	}
	return median(all)
}

// ratio is what ours spent of what a peer spent: the median of the ratios of each round, whose runs are neighbours.
func (e *entry) ratio(peer string) float64 {
	if e == nil {
		return 0
	}
	var all []float64
	for i, o := range e.rounds[ourName] {
		if i < len(e.rounds[peer]) {
			all = append(all, o.perPacket/e.rounds[peer][i].perPacket)
		}
	}
	return median(all)
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
