package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"flowsensor/internal/testnet"
)

// process is a running contestant, watched for its memory.
type process struct {
	*testnet.Program
	log     string
	file    string // that it reads; "" for none
	watched chan usage
}

// sampling is how often a process is looked at.
const sampling = 10 * time.Millisecond

// launch starts a program in the capture's namespace, on the core that is its own.
func (t *track) launch(ctx context.Context, j job, command []string) (*process, error) {
	log := j.path("log")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if t.cores.program != "" {
		command = append([]string{"taskset", "--cpu-list", t.cores.program}, command...)
	}
	program, err := t.link.Capture.Start(ctx, log, command[0], command[1:]...)
	if err != nil {
		return nil, err
	}
	p := &process{Program: program, log: log, file: j.file, watched: make(chan usage, 1)}
	go p.watch()
	return p, nil
}

// watch keeps what is seen of the program until it has ended.
func (p *process) watch() {
	tick := time.NewTicker(sampling)
	defer tick.Stop()
	var u usage
	for {
		select {
		case <-p.Done():
			p.watched <- u
			return
		case <-tick.C:
		}
		u.memory = u.memory.most(memoryOf(p.PID()))
		if at, found := offset(p.PID(), p.file); found {
			u.marks = append(u.marks, mark{at: at, cpu: cpuTime(p.PID())})
		}
	}
}

// usage is what a program spent in its life.
type usage struct {
	cpu    time.Duration // user and system, of its descendants too
	memory memory
	marks  []mark
}

// mark is how far a program was with its file when it had spent how much.
type mark struct {
	at  int64 // octets
	cpu time.Duration
}

// between gives the CPU time for an octet of a part of the file, in ns; 0 where too little was seen of it.
func (u *usage) between(from, to int64) float64 {
	inside := slices.DeleteFunc(slices.Clone(u.marks), func(m mark) bool { return m.at < from || m.at >= to })
	if len(inside) < 2 {
		return 0
	}
	first, last := inside[0], inside[len(inside)-1]
	if last.at == first.at {
		return 0
	}
	return float64((last.cpu - first.cpu).Nanoseconds()) / float64(last.at-first.at)
}

// wait waits for the program's end. A status other than 0 and those given is an error.
func (p *process) wait(ctx context.Context, fine ...int) (usage, error) {
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		return usage{}, fmt.Errorf("%w; its log ends: %s", ctx.Err(), tail(p.log))
	}
	state := p.State()
	if !state.Success() && !slices.Contains(fine, state.ExitCode()) {
		return usage{}, fmt.Errorf("%s; its log ends: %s", state, tail(p.log))
	}
	u := <-p.watched
	u.cpu = state.UserTime() + state.SystemTime()
	return u, nil
}

// stop asks the program to end and waits for it.
func (p *process) stop(ctx context.Context, sig syscall.Signal) (usage, error) {
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return usage{}, err
	}
	return p.wait(ctx)
}

// settle waits until the program has nothing left to do: it hardly runs for longer than libpcap's users let a packet wait,
// which is a second. One that is never at rest is waited for no longer than a full ring takes; one that has ended is noticed
// by who stops it.
func (p *process) settle(ctx context.Context) {
	const (
		while  = 100 * time.Millisecond
		hardly = 2 * time.Millisecond
		enough = 12
		limit  = 100
	)
	tick := time.NewTicker(while)
	defer tick.Stop()
	last, quiet := cpuTime(p.PID()), 0
	for range limit {
		select {
		case <-ctx.Done():
			return
		case <-p.Done():
			return
		case <-tick.C:
		}
		now := cpuTime(p.PID())
		if quiet++; now-last > hardly {
			quiet = 0
		}
		if quiet == enough {
			return
		}
		last = now
	}
}

// tail gives the end of a log.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 600
	return string(text[max(0, len(text)-most):])
}
