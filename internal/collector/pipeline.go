package collector

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"

	"flowsensor/internal/daemon"
	"flowsensor/internal/enrich"
	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/journal"
	"flowsensor/internal/seal"
	"flowsensor/internal/setting"
	"flowsensor/internal/store"
	"flowsensor/internal/store/files"
	"flowsensor/internal/store/influx"
)

// pipeline is the collector's parts, wired: sockets -> ingest -> journal -> roll-ups -> pool -> writer. What belongs to a role that the
// process does not have is nil.
type pipeline struct {
	journal  *journal.Journal
	appender *journal.Appender
	// role ingest
	server  *ingest.Server
	reports ledgerBook
	dnstap  *dnstapFeed // nil where nobody may tell of answers
	// role write
	names   *nameBook
	reader  *journal.Reader
	origins *enrich.Origins
	rollups *rollups
	pool    *store.Pool
	dead    *store.DeadLetters
	writer  writer
}

// writer is a store.Writer with a life.
type writer interface {
	store.Writer
	io.Closer
}

// newPipeline opens and wires everything, or nothing. The sockets come last: from then on the kernel queues datagrams.
func newPipeline(c Config, log *slog.Logger) (_ *pipeline, err error) {
	p := &pipeline{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.journal, err = journal.Open(c.journal(), log); errors.Is(err, journal.ErrFormat) || errors.Is(err, journal.ErrShards) {
		return nil, configError(err) // another start would find the same
	} else if err != nil {
		return nil, placeOf("journal.directory", settingsOf("journal", err))
	}
	p.appender = p.journal.Appender(p.appended)
	if c.writes() {
		if err := p.openWrite(c, log); err != nil {
			return nil, err
		}
	}
	if c.ingests() {
		if err := p.openIngest(c, log); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// openWrite is the way from the journal to the database.
func (p *pipeline) openWrite(c Config, log *slog.Logger) (err error) {
	if p.origins, err = enrich.Open(c.Enrich.enrich(log)); err != nil {
		return settingsOf("enrich", err)
	}
	if p.dead, err = store.OpenDeadLetters(store.DeadLetterConfig{
		Path: c.Store.DeadLetters.Path, MaxSize: int64(c.Store.DeadLetters.MaxSize),
	}); err != nil {
		return placeOf("store.dead_letters.path", err)
	}
	if p.writer, err = newWriter(c.Store, log); err != nil {
		return err
	}
	if p.rollups, err = newRollups(c); err != nil {
		return err
	}
	p.rollups.config.Load().warn(log)
	deps := store.Deps{Writer: p.writer, DeadLetters: p.dead, Release: p.release, Keep: p.rollups.keep, Log: log}
	if p.pool, err = store.NewPool(c.Store.pool(), deps); err != nil {
		return err
	}
	p.names = newNameBook(c.Names)
	p.rollups.pool, p.rollups.origins, p.rollups.names = p.pool, p.origins, p.names
	p.reader = p.journal.Reader(p.pool.Submit)
	p.reader.Gather(p.rollups.gatherer)
	return nil
}

// openIngest is the way from the network to the journal.
func (p *pipeline) openIngest(c Config, log *slog.Logger) error {
	opener, err := newOpener(c)
	if err != nil {
		return err
	}
	agents, err := newAgents(c, nil)
	if err != nil {
		return err
	}
	addresses, err := c.Ingest.sockets(log, tryIPv6)
	if err != nil {
		return err
	}
	if c.Dnstap.Listen != "" {
		if p.dnstap, err = newDnstapFeed(c, p.appender.Append, log); err != nil {
			return setting.KeyError{Key: "dnstap.listen", Err: err}
		}
	}
	passed, err := daemon.PassedSockets()
	if err != nil {
		return err
	}
	if len(passed) > 0 {
		log.Info("sockets are those that systemd passed: ingest.listen and ingest.processors are not used", "sockets", len(passed))
	}
	p.server, err = ingest.Listen(ingest.Config{
		ID: c.name(), Listen: addresses, Conns: passed, Processors: c.Ingest.Processors, ReceiveBuffer: c.Ingest.ReceiveBuffer.Int(),
		Agents: agents,
	}, opener, log)
	if err != nil && len(passed) == 0 {
		return setting.KeyError{Key: "ingest.listen", Err: err}
	}
	return err
}

// appended is where the journal gives its batches back. One of our own goes nowhere from here.
func (p *pipeline) appended(b *flow.Batch, o journal.Outcome) {
	if b.Content != flow.CollectorReadings && !strings.HasPrefix(b.Sensor, dnstapMark) {
		p.server.Settle(b, settled(o))
	}
}

// settled is what the sensor is to be told of a batch that the journal has done with.
func settled(o journal.Outcome) ingest.Result {
	if o == journal.Durable {
		return ingest.Durable
	}
	return ingest.Lost
}

// sink is where ingest hands its batches over. It never blocks.
func (p *pipeline) sink(b *flow.Batch) ingest.Verdict {
	if b.Content == flow.SensorReadings {
		p.reports.note(b)
	}
	switch err := p.appender.Append(b); {
	case err == nil:
		return ingest.Accepted
	case errors.Is(err, journal.ErrTooLarge):
		return ingest.Unfit
	default:
		return ingest.Full
	}
}

// release is where the pool gives its batches back.
func (p *pipeline) release(b *flow.Batch, outcome store.Outcome) {
	if outcome == store.Stored {
		p.reader.Stored(b)
	} else {
		p.reader.Unstored(b)
	}
}

// keys loads the sensor's keys.
func (sc *SensorConfig) keys(read keyReader) ([]seal.Key, error) {
	keys, err := loadKeys(sc.KeyFiles, read)
	if err != nil {
		return nil, fmt.Errorf("sensor %s: %w", sc.ID, err)
	}
	return keys, nil
}

// newOpener loads the keys.
func newOpener(c Config) (*seal.Opener, error) {
	var sensors []seal.Sensor
	var errs []error
	for _, sc := range c.Sensors {
		s := seal.Sensor{ID: sc.ID}
		var err error
		if s.Keys, err = sc.keys(seal.LoadKeyFile); err != nil {
			errs = append(errs, err)
		}
		if s.Prefixes, err = prefixes(sc.Prefixes); err != nil {
			errs = append(errs, fmt.Errorf("sensor %s: %w", sc.ID, err))
		}
		sensors = append(sensors, s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, configError(err)
	}
	opener, err := seal.NewOpener(sensors, c.Ingest.limits())
	if err != nil {
		return nil, configError(err)
	}
	return opener, nil
}

// keyReader reads a key's file: seal.LoadKeyFile, or for root, who can read more than the service, enroll.InspectKey.
type keyReader func(path string) (seal.Key, error)

// loadKeys loads the keys of one sender.
func loadKeys(paths []string, read keyReader) (keys []seal.Key, err error) {
	var errs []error
	for _, path := range paths {
		key, err := read(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keys = append(keys, key)
	}
	return keys, errors.Join(errs...)
}

func (c *IngestConfig) limits() seal.Limits { return seal.Limits{TTL: c.TTL.D(), Skew: c.Skew.D()} }

func newWriter(c StoreConfig, log *slog.Logger) (writer, error) {
	if c.Kind == kindInflux {
		w, err := opened(influx.Open(c.InfluxDB.influx()))
		return w, settingsOf("store.influxdb", err)
	}
	w, err := opened(files.Open(c.files(), log))
	return w, placeOf("store.files.directory", err)
}

// settingsOf gives the errors of a table's settings their keys from the top of the file, and the exit status of a wrong configuration.
// Others stay as they are.
func settingsOf(table string, err error) error {
	if _, ok := errors.AsType[setting.KeyError](err); !ok {
		return err
	}
	return configError(setting.In(table, err))
}

// placeOf gives an error about a file the key that says where it is. Others stay as they are, and those that name a key.
func placeOf(key string, err error) error {
	_, place := errors.AsType[*fs.PathError](err)
	if _, keyed := errors.AsType[setting.KeyError](err); keyed || !place {
		return err
	}
	return setting.KeyError{Key: key, Err: daemon.Writable(err)}
}

// opened keeps a nil pointer that comes with an error from looking like a writer.
func opened[W writer](w W, err error) (writer, error) {
	if err != nil {
		return nil, err
	}
	return w, nil
}

// close lets go of everything that is open. The pool must have been drained.
func (p *pipeline) close() error {
	var errs []error
	if p.dnstap != nil {
		errs = append(errs, p.dnstap.server.Close())
	}
	if p.server != nil {
		errs = append(errs, p.server.Close())
	}
	if p.journal != nil {
		errs = append(errs, p.journal.Close())
	}
	if p.writer != nil {
		errs = append(errs, p.writer.Close())
	}
	if p.dead != nil {
		errs = append(errs, p.dead.Close())
	}
	return errors.Join(errs...)
}
