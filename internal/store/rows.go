package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"flowsensor/internal/flow"
)

// Errors of a row that makes no line.
var (
	errNoField  = errors.New("the row has no field")
	errNoNumber = errors.New("a field of the row is no finite number")
	errKind     = errors.New("a field of the row is of no known kind")
)

// EncodeRow appends the line of a row, or says why it makes none and under which reason it is given up.
func (e *Encoder) EncodeRow(to *Lines, r *flow.Row) (DeadReason, error) {
	if r.Time < 0 || r.Time > flow.MaxTime {
		return DeadTimeOutOfRange, errPointTime
	}
	if err := checkFields(r.Fields); err != nil {
		return DeadLineInvalid, err
	}
	e.line.SetBuffer(to.data)
	e.line.StartLine(r.Measurement)
	for _, t := range r.Tags {
		if t.Value != "" {
			e.line.AddTag(t.Key, tagValue(t.Value))
		}
	}
	for i := range r.Fields {
		e.field(&r.Fields[i])
	}
	e.line.EndLine(time.Unix(0, r.Time))
	if err := e.line.Err(); err != nil {
		e.line.ClearErr()
		return DeadLineInvalid, err
	}
	to.data = e.line.Bytes()
	to.mark(Count{Rows: 1})
	return 0, nil
}

// checkFields refuses what would leave a line unfinished.
func checkFields(fields []flow.Field) error {
	empty := true
	for i := range fields {
		f := &fields[i]
		switch {
		case f.Kind == flow.FloatField && (math.IsInf(f.Float, 0) || math.IsNaN(f.Float)):
			return errNoNumber
		case f.Kind < flow.IntField || f.Kind > flow.TextField:
			return errKind
		case f.Kind != flow.TextField || f.Text != "":
			empty = false
		}
	}
	if empty {
		return errNoField
	}
	return nil
}

func (e *Encoder) field(f *flow.Field) {
	switch f.Kind {
	case flow.IntField:
		e.int(f.Key, f.Int)
	case flow.FloatField:
		value, _ := lineprotocol.FloatValue(f.Float) // finite: it was checked
		e.line.AddField(f.Key, value)
	case flow.TextField:
		e.string(f.Key, f.Text)
	}
}

// WriteRows makes rows durable and returns then, or with an error when ctx ends first: some of them may be durable
// nevertheless. It writes in the caller's goroutine, besides the pool's own, with the same patience; a row that the
// database will never take becomes a dead letter. A row is not kept when the next one is asked for. It may be called
// while the pool runs, and is counted as Rows.
func (p *Pool) WriteRows(ctx context.Context, rows func(yield func(*flow.Row) bool)) error {
	w := newWorker(p, int(-p.rowing.Add(1)), &beat{}) // nobody watches it: it is only here for as long as the rows are
	defer w.health.gone(w.id)
	complete := true
	for row := range rows {
		if why, err := w.encoder.EncodeRow(&w.lines, row); err != nil {
			w.letters = append(w.letters, rowLetter(row, why, err))
		}
		if w.lines.Len() >= p.cfg.Lines || len(w.lines.data) >= p.cfg.Bytes {
			if complete = w.writeRows(ctx); !complete {
				break
			}
		}
	}
	if complete {
		complete = w.writeRows(ctx)
	}
	if !complete {
		return fmt.Errorf("store: rows could not be written before the end: %w", context.Cause(ctx))
	}
	return nil
}

// writeRows settles the rows that were gathered, and reports whether all of them are durable.
func (w *worker) writeRows(ctx context.Context) bool {
	c := w.lines.Count()
	c.Rows += uint64(len(w.letters))
	w.submit(c)
	complete := w.deliver(ctx)
	for _, letter := range w.letters {
		complete = w.bury(ctx, letter) && complete
	}
	w.letters = w.letters[:0]
	w.lines.reset()
	return complete
}

// submit counts rows as pending.
func (p *Pool) submit(c Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Submitted.add(c)
	p.stats.Pending.add(c)
}

// rowLetter keeps a row that makes no line as a comment.
func rowLetter(r *flow.Row, why DeadReason, cause error) Letter {
	letter := Letter{Why: why, Cause: cause.Error()}
	letter.Lines.Append(fmt.Appendf(nil, "# row of %q at %d: %q %q\n", r.Measurement, r.Time, r.Tags, fmt.Sprint(r.Fields)), Count{Rows: 1})
	return letter
}
