package enrich

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"flowsensor/internal/setting"
)

// Origins knows the origins of addresses.
type Origins struct {
	database, prefixes source
	interval           time.Duration
}

// Open reads the files that are configured, or says what is wrong with each, by a setting.KeyError: it names the file, and the line
// where there are lines.
func Open(c Config) (*Origins, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	o := &Origins{interval: c.Interval}
	o.database.init(Database, c.Database, c.Log)
	o.prefixes.init(Prefixes, c.Prefixes, c.Log)
	var refused []error
	for _, s := range []*source{&o.database, &o.prefixes} {
		err := s.open()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: put it there, or set \"\" to go without", err)
		}
		if err != nil {
			refused = append(refused, setting.KeyError{Key: s.kind.String(), Err: err})
		}
	}
	if refused != nil {
		return nil, errors.Join(refused...)
	}
	return o, nil
}

// Source is where a table comes from.
type Source uint8

// The sources.
const (
	Database Source = iota // the file in MaxMind's format
	Prefixes               // the operator's own table
	Sources  = int(iota)
)

var sourceNames = [Sources]string{"asn_database", "prefix_table"}

func (s Source) String() string { return sourceNames[s] }

// parsers make a table of a file's content; the name is for errors.
var parsers = [Sources]func(name string, content []byte) (*table, error){parseDatabase, parsePrefixes}

// source is a file and the table that was made of it. All but table and the counters belong to one goroutine: Open's,
// then Run's.
type source struct {
	kind  Source
	path  string // "" where none is configured
	log   *slog.Logger
	table atomic.Pointer[table]

	judged identity // of the file as it was read or refused last
	seen   identity // of the file at the last look

	loaded            atomic.Int64 // when the table was made, ns since the Unix epoch
	reloads, failures atomic.Uint64
	stale             atomic.Bool
}

func (s *source) init(kind Source, path string, log *slog.Logger) {
	s.kind, s.path, s.log = kind, path, log
}

// open reads the file for the first time.
func (s *source) open() error {
	if s.path == "" {
		return nil
	}
	content, id, err := read(s.path)
	if err == nil {
		err = s.take(content)
	}
	if err == nil {
		s.judged, s.seen = id, id
	}
	return err
}

// take makes a table of the content and puts it in the place of the old one.
func (s *source) take(content []byte) error {
	t, err := parsers[s.kind](s.path, content)
	if err != nil {
		return err
	}
	s.table.Store(t)
	s.loaded.Store(time.Now().UnixNano())
	return nil
}
