package sensor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/pcapfile"
)

// ReadOptions are those of `flow-sensor read`.
type ReadOptions struct {
	// Config is the path of the configuration. Only one that was asked for must be there, or any for sending.
	Config string
	Asked  bool
	Flows  FlowsOverride
	DNS    bool     // give DNS answers out, too, whatever the configuration says
	Files  []string // "-" is standard input
	// Filter is a tcpdump expression; "" takes all.
	Filter string
	// Out takes a JSON object a line for each record; nil when the records go to the configuration's collector.
	Out io.Writer
	// Ledger takes the account as JSON; nil when nobody asks.
	Ledger io.Writer
	// Progress takes a line a second about the file being read; nil for none.
	Progress io.Writer
}

// ReadFiles reads capture files and gives their flows out. Each file is read as far as it can be; the errors of all come back.
func ReadFiles(ctx context.Context, o ReadOptions) error {
	c, err := o.load()
	if err != nil {
		return configError(err)
	}
	var filter *capture.FileFilter
	if o.Filter != "" {
		if filter, err = capture.NewFileFilter(ctx, o.Filter, frame.Ethernet); err != nil {
			return configError(err)
		}
	}
	out, err := newRecordSink(ctx, o.Out, c)
	if err != nil {
		return err
	}
	r, err := NewReader(c.Flows, filter, out.emit)
	if err != nil {
		return errors.Join(err, out.close())
	}
	if c.DNS.Enabled || o.DNS {
		r.ReadNames(c.DNS, out.answer)
	}
	var errs []error
	for _, path := range o.Files {
		if err := readFile(ctx, r, path, o.Progress); err != nil {
			errs = append(errs, err) // it names the file
		}
		if ctx.Err() != nil {
			break
		}
	}
	errs = append(errs, out.close())
	if o.Ledger != nil {
		errs = append(errs, r.Ledger().Write(o.Ledger))
	}
	return errors.Join(append(errs, r.Close())...)
}

// load gives the configuration to read with.
func (o *ReadOptions) load() (Config, error) {
	validate := (*Config).validateReading
	if o.Out == nil {
		validate = (*Config).validateSending
	}
	c, err := load(o.Config, validate)
	if errors.Is(err, fs.ErrNotExist) && !o.Asked && o.Out != nil {
		c, err = Defaults(), nil
	}
	if err != nil {
		return c, err
	}
	o.Flows.apply(&c.Flows)
	return c, c.Flows.overridden()
}

func readFile(ctx context.Context, r *Reader, path string, progress io.Writer) error {
	file, err := pcapfile.OpenContext(ctx, path)
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("%s: interrupted", path)
	}
	if err != nil {
		return err
	}
	interrupt := context.AfterFunc(ctx, func() { _ = file.Close() }) // ends the walk, which then says so
	defer interrupt()
	stop := showProgress(progress, path, file)
	err = r.Read(ctx, file)
	stop()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: interrupted", path)
	}
	return errors.Join(err, file.Close())
}

// showProgress prints how far the file is read, each second until stopped.
func showProgress(w io.Writer, path string, file *pcapfile.Reader) (stop func()) {
	if w == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-quit:
				if shown {
					_, _ = fmt.Fprintln(w)
				}
				return
			case <-tick.C:
				read, total := file.Progress()
				line := fmt.Sprintf("%s: %d MiB read", path, read>>20)
				if total > 0 {
					line += fmt.Sprintf(", %d %%", read*100/total)
				}
				shown = true
				_, _ = fmt.Fprintf(w, "\r%s", line) // a progress line that cannot be shown is no reason to stop
			}
		}
	}()
	return func() { close(quit); <-done }
}

// recordSink is where the records of capture files go.
type recordSink interface {
	emit(r *flow.Record, iface string)
	answer(a *flow.DNSAnswer)
	close() error
}

func newRecordSink(ctx context.Context, out io.Writer, c Config) (recordSink, error) {
	if out != nil {
		buffered := bufio.NewWriterSize(out, 1<<16)
		return &jsonSink{buffered: buffered, encoder: json.NewEncoder(buffered)}, nil
	}
	return newSenderSink(ctx, c)
}

// jsonSink prints a JSON object a line.
type jsonSink struct {
	buffered *bufio.Writer
	encoder  *json.Encoder
	err      error // the first
}

func (s *jsonSink) emit(r *flow.Record, iface string) {
	if s.err == nil {
		s.err = s.encoder.Encode(flow.Named{Record: r, Iface: iface})
	}
}

// answer prints an object with the one key "dns", which tells it from a flow.
func (s *jsonSink) answer(a *flow.DNSAnswer) {
	if s.err == nil {
		s.err = s.encoder.Encode(map[string]*flow.DNSAnswer{"dns": a})
	}
}

func (s *jsonSink) close() error { return errors.Join(s.err, s.buffered.Flush()) }
