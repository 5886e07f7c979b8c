// Command peers races flow-sensor against the flow probes that Debian has, on this machine, and prints what each spends as
// Markdown. `make bench-peers` runs it, as root.
//
// Every program gets the same packets, live over a cable between two network namespaces and from files, on one core of its
// own, and is configured for its best. Figures of one run compare with each other and with no other run's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"flowsensor/internal/testnet"
)

func main() {
	o := options{out: os.Stdout, log: os.Stderr}
	flag.StringVar(&o.bin, "bin", "bin", "folder of flow-sensor")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where captures and exports go while it runs: 4 GiB, for -quick 1 GiB")
	flag.BoolVar(&o.quick, "quick", false, "fewer captures and one round: under two minutes")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each race; the medians count")
	flag.DurationVar(&o.budget, "budget", 12*time.Minute, "no new round begins after this; every race is run once at least")
	flag.Uint64Var(&o.seed, "seed", 1, "of the captures")
	only := flag.String("only", "", "the races to run, by name and separated by commas; empty is all")
	flag.Parse()
	if o.quick {
		o.rounds = 1
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-peers:", err)
		os.Exit(1)
	}
}

// options are those of the command line.
type options struct {
	bin, dir string
	quick    bool
	rounds   int
	budget   time.Duration
	seed     uint64
	only     []string
	out, log io.Writer
}

// run makes the stage, runs the races, prints the report and clears everything away.
func run(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it with sudo")
	}
	dir, err := os.MkdirTemp(o.dir, "bench-peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sensor, err := filepath.Abs(filepath.Join(o.bin, "flow-sensor"))
	if err != nil {
		return err
	}
	link, err := testnet.OpenLink(testnet.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, link.Close()) }()
	drain, err := openSink(link.Capture)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drain.close()) }()

	field, err := newField(ctx, link.Capture, sensor, drain.key)
	if err != nil {
		return err
	}
	t := &track{link: link, sink: drain, dir: dir, cores: splitCores(allowedCores()), log: o.log}
	races, err := o.races()
	if err != nil {
		return err
	}
	d := day{track: t, field: field, options: o}
	if err := d.run(ctx, races); err != nil {
		return err
	}
	return report(o.out, conditions{machine: machine(), versions: field.versions, cores: t.cores, seed: o.seed}, &d.book)
}
