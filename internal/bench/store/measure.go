package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// result is what one run took.
type result struct{ wall, cpu time.Duration }

// measure takes the time of a run, and the processor time of this process meanwhile.
func measure(ctx context.Context, d database, write func(context.Context, database) error) (result, error) {
	before, err := cpuTime()
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	if err := write(ctx, d); err != nil {
		return result{}, err
	}
	wall := time.Since(start)
	after, err := cpuTime()
	return result{wall: wall, cpu: after - before}, err
}

func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// cores says who runs where, as taskset(1) takes it; empty where there is but one.
type cores struct{ database, writer string }

// splitCores takes the first and the last core that this process may use.
func splitCores() cores {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return cores{}
	}
	_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:")
	list, _, _ = strings.Cut(list, "\n")
	ids := strings.FieldsFunc(list, func(r rune) bool { return r < '0' || r > '9' })
	if len(ids) < 2 {
		return cores{}
	}
	return cores{database: ids[0], writer: ids[len(ids)-1]}
}

// server starts the database on its core.
func (c cores) server(ctx context.Context, name string, args ...string) *exec.Cmd {
	if c.database == "" {
		return exec.CommandContext(ctx, name, args...)
	}
	return exec.CommandContext(ctx, "taskset", append([]string{"--cpu-list", c.database, name}, args...)...)
}

// pin keeps this process, and what it starts from now on, on its core.
func (c cores) pin(ctx context.Context) error {
	if c.writer == "" {
		return nil
	}
	text, err := exec.CommandContext(ctx, "taskset", "--all-tasks", "--cpu-list", "--pid", c.writer, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, text)
	}
	return nil
}

// report prints a table. Ratios are the medians of those of each round, whose runs are neighbours.
func report(out io.Writer, lines int, where cores, who []contestant, results [][]result) error {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "- %d lines a run, %d rounds, runs in turn; InfluxDB on core %s, the writer on core %s; the machine may have had other work\n\n",
		lines, len(results[0]), where.database, where.writer)
	text.WriteString("| writer | lines/s | of the bare loader's, lowest to highest | lines a second of its processor time |\n| --- | ---: | ---: | ---: |\n")
	for i, c := range who {
		var rates, ratios, own []float64
		for round, r := range results[i] {
			rates = append(rates, float64(lines)/r.wall.Seconds())
			ratios = append(ratios, results[0][round].wall.Seconds()/r.wall.Seconds())
			own = append(own, float64(lines)/r.cpu.Seconds())
		}
		_, _ = fmt.Fprintf(&text, "| %s | %.0f | %.2f, %.2f to %.2f | %.0f |\n",
			c.name, median(rates), median(ratios), slices.Min(ratios), slices.Max(ratios), median(own))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func median(all []float64) float64 {
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
