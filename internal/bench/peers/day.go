package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// day is a day at the races.
type day struct {
	track   *track
	field   field
	options options
	book    book
	pace    pace
}

// run runs the races one after another, each in rounds as long as the time lasts.
func (d *day) run(ctx context.Context, races []race) error {
	d.pace.deadline = time.Now().Add(d.options.budget)
	for _, r := range races {
		d.pace.ahead += r.round
	}
	for _, r := range races {
		_, _ = fmt.Fprintf(d.track.log, "%s: %s\n", r.name, r.title) // progress; a terminal that is gone stops nothing
		if err := d.race(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// race makes the captures of a race, runs it, and removes them.
func (d *day) race(ctx context.Context, r race) (err error) {
	dir := filepath.Join(d.track.dir, "captures")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m, err := r.make(dir, d.options.seed)
	if err != nil {
		return err
	}
	e := d.book.enter(r, m)
	start := time.Now()
	for round := range d.options.rounds {
		began := time.Now()
		if err := d.round(ctx, e, round); err != nil {
			return err
		}
		if round == 0 {
			d.pace.passed(r.round, time.Since(began))
		}
		if !d.pace.allows(time.Since(began)) {
			break
		}
	}
	_, _ = fmt.Fprintf(d.track.log, "  %d rounds in %.0f s\n", len(e.rounds[ourName]), time.Since(start).Seconds())
	return nil
}

// round has everyone run once, from last to first every other time: who comes first after the captures were made pays for memory
// that the machine has not given out yet. A peer that fails is noted and left behind.
func (d *day) round(ctx context.Context, e *entry, number int) error {
	all := d.field.all
	for i := range all {
		if number%2 == 1 {
			i = len(all) - 1 - i
		}
		c := &all[i]
		if c.name != ourName && !e.race.has(c.name, &d.book) {
			continue
		}
		result, err := d.track.run(ctx, c, e.material)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && c.name == ourName {
			return err
		}
		e.note(d.track.log, c.name, result, err)
	}
	return nil
}

func (r *race) has(peer string, b *book) bool {
	if r.against == nil {
		return true
	}
	if slices.Contains(r.against, bestPeer) {
		return b.bestSoFar() == peer
	}
	return slices.Contains(r.against, peer)
}

// pace says whether there is time for another round, when every race still has to be run.
type pace struct {
	deadline      time.Time
	ahead         time.Duration // the rounds of races that have not begun, as listed
	listed, spent time.Duration // of first rounds
}

func (p *pace) passed(listed, spent time.Duration) {
	p.ahead -= listed
	p.listed += listed
	p.spent += spent
}

func (p *pace) allows(round time.Duration) bool {
	ahead := time.Duration(float64(p.ahead) * float64(p.spent) / float64(p.listed))
	return time.Now().Add(round + ahead).Before(p.deadline)
}
