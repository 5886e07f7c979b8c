package sensor

import (
	"context"
	"errors"

	"flowsensor/internal/capture"
	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
	"flowsensor/internal/pcapfile"
)

// fileTime is the time base of capture files: their own stamps, wherever they go.
type fileTime struct{}

func (fileTime) convert(batch []flow.Packet) (now int64) { return batch[len(batch)-1].Time }

// Reader drives the decoder and the table over capture files, by capture time. One goroutine uses it.
type Reader struct {
	meter  meter
	filter *capture.FileFilter // nil takes all
	file   *pcapfile.Reader    // being read
	emit   func(r *flow.Record, iface string)
}

// NewReader makes a reader that hands each record to emit, with the interface's name where the file tells it.
func NewReader(c FlowsConfig, filter *capture.FileFilter, emit func(r *flow.Record, iface string)) (*Reader, error) {
	r := &Reader{filter: filter, emit: emit}
	table, err := flowtable.New(c.table(), r.record)
	if err != nil {
		return nil, err
	}
	r.meter.table, r.meter.decoder, r.meter.time = table, packet.NewDecoder(c.decoder()), fileTime{}
	return r, nil
}

func (r *Reader) record(rec *flow.Record) {
	name := ""
	for _, in := range r.file.Interfaces() {
		if in.Index == rec.IfIndex {
			name = in.Name
		}
	}
	r.emit(rec, name)
}

// Read takes one file to its end; flows end with it. A file that is damaged or cut is accounted as far as it can be
// read, and the error says where that is.
func (r *Reader) Read(ctx context.Context, file *pcapfile.Reader) error {
	r.file = file
	visit := r.meter.visit
	var refused error
	if r.filter != nil {
		visit = func(f *frame.Frame) {
			match, err := r.filter.Match(ctx, f)
			if match {
				r.meter.visit(f)
			}
			if err != nil && refused == nil {
				refused = err
			}
		}
	}
	err := file.Walk(visit)
	r.meter.flush()
	r.meter.table.Flush(flow.EndEOF)
	r.meter.publish()
	return errors.Join(err, refused)
}

// Ledger is the account of all files read so far.
func (r *Reader) Ledger() *Ledger {
	l := newLedger()
	r.meter.balance(l)
	return l
}

// Close lets the table go.
func (r *Reader) Close() error { return r.meter.table.Close() }
