package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"flowsensor/internal/testnet"
)

// track is where the races are run: a cable between two namespaces, the generator at one end, the contestants at the other.
type track struct {
	link  *testnet.Link
	sink  *sink
	dir   string
	cores cores
	log   io.Writer
}

// cores says who runs where, as taskset(1) takes it; empty where there is but one.
type cores struct{ generator, program string }

// splitCores takes the first and the last of a list such as 0-3,8.
func splitCores(allowed string) cores {
	list := strings.FieldsFunc(allowed, func(r rune) bool { return r == ',' || r == '-' || r == '\n' })
	if len(list) < 2 {
		return cores{}
	}
	return cores{generator: list[0], program: list[len(list)-1]}
}

// outcome is what one run gave.
type outcome struct {
	perPacket float64 // CPU ns for each accounted packet, from the first packet to the program's end
	steady    float64 // the same for the packets after each flow has had one, until the last is taken; 0 where not seen
	lost      float64 // share of the packets sent that are in no flow
	rate      float64 // packets a second from the generator
	memory    memory
}

// Bounds of one run.
const (
	liveLimit = 2 * time.Minute
	fileLimit = 4 * time.Minute
)

// run runs one contestant once.
func (t *track) run(ctx context.Context, c *contestant, m material) (outcome, error) {
	j := job{dir: filepath.Join(t.dir, c.name), flows: m.flows, iface: t.link.Capture.Interface}
	if err := errors.Join(os.RemoveAll(j.dir), os.Mkdir(j.dir, 0o700)); err != nil {
		return outcome{}, err
	}
	race, limit := t.live, liveLimit
	if m.whole != "" {
		j.file, j.iface, race, limit = m.whole, "", t.read, fileLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	sunk := t.sink.datagrams.Load()
	o, err := race(ctx, c, j, m)
	if err == nil && c.sends && t.sink.datagrams.Load() == sunk {
		err = errors.New("it exported nothing")
	}
	if err != nil {
		return outcome{}, fmt.Errorf("%s: %w", c.name, err)
	}
	return o, nil
}

// read has a contestant read a file.
func (t *track) read(ctx context.Context, c *contestant, j job, m material) (outcome, error) {
	p, err := t.start(ctx, c, j)
	if err != nil {
		return outcome{}, err
	}
	defer p.Kill()
	used, err := p.wait(ctx)
	if err != nil {
		return outcome{}, err
	}
	text, err := t.words(ctx, p.log, c.tell, j)
	if err != nil {
		return outcome{}, err
	}
	accounted, err := c.accountedIn(text)
	if err != nil {
		accounted = m.packets() // nothing is lost on the way from a file
	}
	return outcome{
		perPacket: float64(used.cpu.Nanoseconds()) / float64(accounted), lost: share(m.packets(), accounted), memory: used.memory,
		steady: used.between(m.warmSize, m.size) * float64(m.size) / float64(m.packets()),
	}, nil
}

// live has a contestant capture what the generator sends.
func (t *track) live(ctx context.Context, c *contestant, j job, m material) (outcome, error) {
	p, err := t.start(ctx, c, j)
	if err != nil {
		return outcome{}, err
	}
	defer p.Kill()
	if err := t.ready(ctx, p); err != nil {
		return outcome{}, err
	}
	before := cpuTime(p.PID())
	if m.warm != "" {
		if _, err := t.replay(ctx, m.warm, 1); err != nil {
			return outcome{}, err
		}
		p.settle(ctx)
	}
	warm := cpuTime(p.PID())
	sent, err := t.replay(ctx, m.main, m.loops)
	if err != nil {
		return outcome{}, err
	}
	p.settle(ctx)
	done := cpuTime(p.PID())
	asked, err := t.words(ctx, "", c.ask, j)
	if err != nil {
		return outcome{}, err
	}
	used, err := t.stop(ctx, c, p, j)
	if err != nil {
		return outcome{}, err
	}
	text, err := t.words(ctx, p.log, c.tell, j)
	if err != nil {
		return outcome{}, err
	}
	accounted, err := c.accountedIn(append(text, asked...))
	if err != nil {
		return outcome{}, err
	}
	o := outcome{
		perPacket: float64((used.cpu - before).Nanoseconds()) / float64(accounted), lost: share(m.packets(), accounted),
		rate: float64(sent.packets) / sent.seconds, memory: used.memory,
	}
	if m.warm != "" {
		o.steady = float64((done - warm).Nanoseconds()) / float64(sent.packets) / (1 - o.lost)
	}
	return o, nil
}

// start launches a contestant.
func (t *track) start(ctx context.Context, c *contestant, j job) (*process, error) {
	command, err := c.command(j)
	if err != nil {
		return nil, err
	}
	return t.launch(ctx, j, command)
}

// stop makes a contestant export everything and end, and waits for that.
func (t *track) stop(ctx context.Context, c *contestant, p *process, j job) (usage, error) {
	if c.quit == nil {
		return p.stop(ctx, c.end)
	}
	if _, err := t.words(ctx, "", c.quit, j); err != nil {
		return usage{}, err
	}
	const asTold = 1 // how softflowd ends when it is told to
	return p.wait(ctx, asTold)
}

// words gives a log, if one is named, and what a command says, if there is one.
func (t *track) words(ctx context.Context, log string, command func(job) []string, j job) (text []byte, err error) {
	if log != "" {
		if text, err = os.ReadFile(log); err != nil {
			return nil, err
		}
	}
	if command == nil {
		return text, nil
	}
	args := command(j)
	said, err := t.link.Capture.Command(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", args[0], err, said)
	}
	return append(text, said...), nil
}

// ready waits until the program has a packet socket that is bound, and a second more for what it does then.
func (t *track) ready(ctx context.Context, p *process) error {
	const more = time.Second
	tick := time.NewTicker(sampling)
	defer tick.Stop()
	for open := false; !open; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("it opens no packet socket: %w", ctx.Err())
		case <-p.Done():
			return fmt.Errorf("%s; its log ends: %s", p.State(), tail(p.log))
		case <-tick.C:
		}
		err := t.link.Capture.Do(func() error {
			table, err := os.ReadFile("/proc/thread-self/net/packet")
			open = strings.Count(string(table), "\n") > 1 // below the heading
			return err
		})
		if err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(more):
		return nil
	}
}

// share is what part of sent is missing; a stray packet more is none missing.
func share(sent, accounted uint64) float64 {
	if accounted >= sent || sent == 0 {
		return 0
	}
	return float64(sent-accounted) / float64(sent)
}
