// Command store measures what an InfluxDB takes from the collector's writer, beside what the same InfluxDB takes from a loader that
// only posts lines made before. `make bench-store` runs it.
//
// The server has one core and the writer another, where there are two. Every run gets a database of its own and the same lines, and
// the runs take turns; ratios hold within one call.
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
	"syscall"

	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
)

func main() {
	o := options{out: os.Stdout}
	flag.IntVar(&o.lines, "lines", 300_000, "lines of each run")
	flag.IntVar(&o.rounds, "rounds", 6, "rounds; the medians count")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where the server keeps its data while it runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-store:", err)
		os.Exit(1)
	}
}

// options are those of the command line.
type options struct {
	lines, rounds int
	dir           string
	out           io.Writer
}

// run starts a server and lets everyone write, in turn.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp(o.dir, "bench-store-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, err := influxtest.Find(ctx, influxtest.Debian)
	if err != nil {
		return err
	}
	where := splitCores()
	server, err := influxtest.Start(ctx, influxtest.Config{Binary: binary, Dir: filepath.Join(dir, "influxdb"), Command: where.server})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := where.pin(ctx); err != nil {
		return err
	}
	load, err := newLoad(o.lines)
	if err != nil {
		return err
	}
	contestants := []contestant{
		{"bare loader", func(ctx context.Context, d database) error { return load.post(ctx, d) }},
		{"collector's writer, gzip", func(ctx context.Context, d database) error { return load.write(ctx, d, influx.Gzip) }},
		{"collector's writer, identity", func(ctx context.Context, d database) error { return load.write(ctx, d, influx.Identity) }},
	}
	results := make([][]result, len(contestants))
	for round := range o.rounds {
		for place := range contestants {
			i := (place + round) % len(contestants) // another one first each time
			c := contestants[i]
			d := database{url: server.URL(), name: fmt.Sprintf("round%d_%d", round, i), dir: dir}
			if err := server.CreateDatabase(ctx, d.name); err != nil {
				return err
			}
			r, err := measure(ctx, d, c.run)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if err := check(ctx, server, d, o.lines); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			results[i] = append(results[i], r)
		}
	}
	return report(o.out, o.lines, where, contestants, results)
}

// contestant is one way to write the load.
type contestant struct {
	name string
	run  func(context.Context, database) error
}

// database is where a run writes to, and a folder for what it keeps.
type database struct{ url, name, dir string }

// check asks whether every line has become a point.
func check(ctx context.Context, server *influxtest.Server, d database, lines int) error {
	n, err := server.Count(ctx, d.name, "flow", "packets")
	if err == nil && n != int64(lines) {
		err = fmt.Errorf("%d points of %d lines", n, lines)
	}
	return err
}
