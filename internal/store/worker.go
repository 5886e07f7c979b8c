package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"flowsensor/internal/flow"
)

// longestRetryAfter bounds what a server may ask for: a wrong clock or unit on its side must not stop us for a day.
const longestRetryAfter = 10 * time.Minute

// worker is one writer goroutine: it gathers batches, encodes them and sees to it that every line is settled.
type worker struct {
	*Pool
	id      int
	encoder *Encoder
	pause   backoff.ExponentialBackOff
	batches []*flow.Batch
	lines   Lines
	letters []Letter
	beat    *beat
}

// newWorker makes a writer; id tells it from the others.
func newWorker(p *Pool, id int, b *beat) *worker {
	e := NewEncoder()
	e.Keep = p.keep
	return &worker{
		Pool: p, id: id, encoder: e, beat: b,
		pause: backoff.ExponentialBackOff{
			InitialInterval: p.cfg.RetryInitial, MaxInterval: p.cfg.RetryMax, Multiplier: 2, RandomizationFactor: 0.5,
		},
	}
}

func (w *worker) run(ctx context.Context) {
	alive := time.NewTicker(idleTick)
	defer alive.Stop()
	for more := true; more; {
		more = w.gather(ctx, alive.C)
		w.store(ctx)
		w.beat.tick()
	}
}

// gather takes batches for one chunk and reports whether there may be more.
func (w *worker) gather(ctx context.Context, alive <-chan time.Time) bool {
	if !w.first(ctx, alive) {
		return false
	}
	defer func() { <-w.collect }()
	limit := max(1, min(w.cfg.Lines, w.cfg.Bytes/int(w.lineSize.Load())))
	var age <-chan time.Time
	for n := 0; n < limit; {
		select {
		case b, ok := <-w.queue:
			if !ok {
				return false
			}
			if age == nil {
				timer := time.NewTimer(w.cfg.Age)
				defer timer.Stop()
				age = timer.C
			}
			w.batches = append(w.batches, b)
			c := countOf(b)
			n += int(c.points())
		case <-age:
			return true
		case <-alive:
			w.beat.tick()
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// first waits to be the one that takes batches; false means that ctx ended.
func (w *worker) first(ctx context.Context, alive <-chan time.Time) bool {
	for {
		select {
		case w.collect <- struct{}{}:
			return true
		case <-alive:
			w.beat.tick()
		case <-ctx.Done():
			return false
		}
	}
}

// store settles and releases the gathered batches.
func (w *worker) store(ctx context.Context) {
	if len(w.batches) == 0 {
		return
	}
	w.encode()
	outcome := Stored
	if !w.deliver(ctx) {
		outcome = Dropped
	}
	for i, letter := range w.letters {
		if !w.bury(ctx, letter) {
			outcome = Dropped
		}
		w.letters[i] = Letter{}
	}
	w.letters = w.letters[:0]
	for i, b := range w.batches {
		w.release(b, outcome)
		w.batches[i] = nil
	}
	w.batches = w.batches[:0]
}

// encode makes w.lines of the gathered batches and letters of what makes no line.
func (w *worker) encode() {
	w.lines.reset()
	w.encoder.Withheld = Count{}
	for _, b := range w.batches {
		w.encoder.Encode(&w.lines, b, func(i int, why DeadReason, cause error) {
			w.letters = append(w.letters, letterOf(b, i, why, cause))
		})
	}
	w.settle(&w.stats.Withheld, w.encoder.Withheld)
	if n := w.lines.Len(); n > 0 {
		w.lineSize.Store(int64(max(len(w.lines.Bytes())/n, 1)))
	}
}

// letterOf keeps what makes no line.
func letterOf(b *flow.Batch, i int, why DeadReason, cause error) Letter {
	if b.Content == flow.Flows {
		return recordLetter(b, i, why, cause)
	}
	letter := Letter{Why: why, Cause: cause.Error()}
	what := "report"
	if b.Content == flow.DNSAnswers {
		what = "failed DNS answer"
	}
	letter.Lines.Append(fmt.Appendf(nil, "# %s of %q, number %d\n", what, b.Sensor, i), Count{Reports: 1})
	return letter
}

// recordLetter keeps a record that makes no line as a comment of JSON.
func recordLetter(b *flow.Batch, i int, why DeadReason, cause error) Letter {
	r := &b.Records[i]
	letter := Letter{Why: why, Cause: cause.Error()}
	text, err := json.Marshal(struct {
		Sensor string     `json:"sensor"`
		Base   int64      `json:"base"`
		Index  int        `json:"index"`
		Record flow.Named `json:"record"`
	}{b.Sensor, b.Base, i, flow.Named{Record: r, Iface: b.InterfaceName(r.IfIndex)}})
	if err != nil {
		text = []byte(err.Error())
	}
	var line bytes.Buffer
	line.WriteString("# record ")
	line.Write(bytes.ReplaceAll(text, []byte("\n"), []byte(" ")))
	line.WriteByte('\n')
	letter.Lines.Append(line.Bytes(), Count{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
	return letter
}

// deliver settles every line of w.lines and reports whether each is stored: false means that ctx ended.
func (w *worker) deliver(ctx context.Context) bool {
	parts := w.lines.cut(w.cfg.Bytes)
	if w.lines.Len() == 0 {
		parts = nil
	}
	evidence := w.accepted.Load()
	for len(parts) > 0 {
		part, rest := parts[0], parts[1:]
		err := w.write(ctx, part)
		if err == nil {
			parts = rest
			continue
		}
		e := classify(err)
		switch {
		case ctx.Err() != nil:
			return w.abandon(parts)
		case e.Class == TooLarge && part.Len() == 1:
			e.Why = DeadTooLarge
			fallthrough
		case hopeless(part, e) && (!e.Doubtful || w.accepted.Load() > evidence):
			if !w.bury(ctx, Letter{Why: e.Why, Cause: e.Error(), Lines: part}) {
				return w.abandon(rest)
			}
			parts = rest
		case hopeless(part, e):
			parts = append(slices.Clip(rest), part) // the others may bring the evidence
			w.wait(ctx, e)
		case e.Class == TooLarge || e.Class == Refused:
			w.count(&w.stats.Splits)
			parts = append(split(part, e), rest...)
		default:
			w.wait(ctx, e)
		}
	}
	return true
}

// hopeless reports whether all the lines are refused for good.
func hopeless(part Lines, e *Error) bool {
	return e.Class == Refused && (part.Len() == 1 || e.Lines >= part.Len())
}

// split divides lines that cannot be written together: good from bad where the answer told them apart, else in halves.
func split(part Lines, e *Error) []Lines {
	if n := len(e.Suspects); n > 0 && n < part.Len() {
		bad, good := part.partition(e.Suspects)
		return []Lines{good, bad}
	}
	half := part.Len() / 2
	return []Lines{part.Slice(0, half), part.Slice(half, part.Len())}
}

func (w *worker) write(ctx context.Context, part Lines) error {
	start := w.now()
	err := w.work(func() error { return w.writer.Write(ctx, part) })
	w.observe(part, w.now().Sub(start), err)
	if err == nil {
		w.accepted.Add(1)
		w.pause.Reset()
		w.health.succeeded(w.id)
	}
	return err
}

// bury settles the lines of a letter and reports whether they stand in the dead-letter file: false means that ctx ended.
func (w *worker) bury(ctx context.Context, letter Letter) bool {
	for {
		err := w.work(func() error { return w.dead.Append(letter) })
		if err == nil {
			w.settle(&w.stats.DeadLettered[letter.Why], letter.Lines.Count())
			w.health.buried(letter, w.dead.Path())
			w.health.succeeded(w.id)
			return true
		}
		if ctx.Err() != nil {
			return w.abandon([]Lines{letter.Lines})
		}
		w.wait(ctx, &Error{
			Class: Configuration, Err: err, Code: deadLetterCode,
			Remedy: "look into " + w.dead.Path() + ", mend the cause it names and move the file away",
		})
	}
}

// deadLetterCode keeps trouble with the dead-letter file apart from HTTP statuses.
const deadLetterCode = -1

// abandon counts lines that will not be written any more.
func (w *worker) abandon(parts []Lines) bool {
	for _, part := range parts {
		w.settle(&w.stats.Dropped[DropShutdown], part.Count())
	}
	return false
}

// wait lets the time pass that a failed write asks for, or less when ctx ends.
func (w *worker) wait(ctx context.Context, e *Error) {
	pause := w.pause.NextBackOff()
	if asked := min(e.RetryAfter, longestRetryAfter); asked > pause {
		pause = asked + rand.N(asked/10+1) // not all at the same moment
	}
	w.health.failed(w.id, e, pause)
	timer, alive := time.NewTimer(pause), time.NewTicker(idleTick)
	defer timer.Stop()
	defer alive.Stop()
	for {
		select {
		case <-timer.C:
			w.count(&w.stats.Retries)
			return
		case <-alive.C:
			w.beat.tick()
		case <-ctx.Done():
			return
		}
	}
}

func (w *worker) count(n *uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*n++
}
