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

// fileTime is the time base of capture files: the stamp of the frame that was read last, wherever the stamps go.
type fileTime struct{ now int64 }

func (t *fileTime) convert([]flow.Packet) (now int64) { return t.now }

// Reader drives the decoder and the table over capture files, by capture time. One goroutine uses it.
type Reader struct {
	meter  meter
	time   fileTime
	filter *capture.FileFilter // nil takes all
	file   *pcapfile.Reader    // being read
	files  pcapfile.Stats      // of those that were read
	iface  flow.Interface      // of the last record
	named  bool                // iface is one of the file being read
	emit   func(r *flow.Record, iface string)
}

// NewReader makes a reader that hands each record to emit, with the interface's name where the file tells it.
func NewReader(c FlowsConfig, filter *capture.FileFilter, emit func(r *flow.Record, iface string)) (*Reader, error) {
	r := &Reader{filter: filter, emit: emit}
	table, err := flowtable.New(c.table(), r.record)
	if err != nil {
		return nil, err
	}
	r.meter.table, r.meter.decoder, r.meter.time = table, packet.NewDecoder(c.decoder()), &r.time
	return r, nil
}

func (r *Reader) record(rec *flow.Record) {
	if !r.named || rec.IfIndex != r.iface.Index {
		r.iface, r.named = flow.Interface{Index: rec.IfIndex, Name: r.file.InterfaceName(rec.IfIndex)}, true
	}
	r.emit(rec, r.iface.Name)
}

// ReadNames has the DNS answers of the files handed to emit, too.
func (r *Reader) ReadNames(c DNSConfig, emit func(*flow.DNSAnswer)) {
	r.meter.names = newNameReader(c, emit)
}

// Read takes one file to its end; flows end with it. A file that is damaged or cut is accounted as far as it can be
// read, and the error says where that is.
func (r *Reader) Read(ctx context.Context, file *pcapfile.Reader) error {
	r.file, r.named = file, false
	var refused error
	visit := func(f *frame.Frame) {
		if r.filter != nil {
			match, err := r.filter.Match(ctx, f)
			if err != nil && refused == nil {
				refused = err
			}
			if !match {
				return
			}
		}
		r.time.now = f.Time
		r.meter.visit(f)
	}
	err := file.Walk(visit)
	r.meter.flush()
	r.meter.table.Flush(r.time.now, flow.EndEOF)
	r.meter.publish()
	r.files.Add(file.Stats())
	return errors.Join(err, refused)
}

// Ledger is the account of all files read so far. Its notes on the files are of all their frames, also of those that the filter
// left out.
func (r *Reader) Ledger() *Ledger {
	l := newLedger()
	r.meter.balance(l)
	l.note("time_clamped", r.files.Clamped)
	l.note("untimed", r.files.Untimed)
	l.note("overlong", r.files.Overlong)
	return l
}

// Close lets the table go.
func (r *Reader) Close() error { return r.meter.table.Close() }
