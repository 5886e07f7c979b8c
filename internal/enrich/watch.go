package enrich

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Run looks each interval whether a file has changed and reads it again, until ctx ends. It looks instead of having the
// kernel tell it (inotify): a look is one stat(2), sees a file that was renamed over the old one as well as one that was
// written in place, works on network file systems, and cannot miss an event.
func (o *Origins) Run(ctx context.Context) {
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			o.database.look()
			o.prefixes.look()
		}
	}
}

// identity tells one state of a file from another. The zero value is that of a file that is not there.
type identity struct {
	file     fs.FileInfo // for os.SameFile
	size     int64
	modified time.Time
}

func identityOf(info fs.FileInfo) identity {
	return identity{file: info, size: info.Size(), modified: info.ModTime()}
}

func (i identity) equal(other identity) bool {
	return (i.file == nil) == (other.file == nil) && i.size == other.size && i.modified.Equal(other.modified) &&
		(i.file == nil || os.SameFile(i.file, other.file))
}

// look reads the file again if it has changed. One that still changes is left alone until it looks the same twice, so
// that a file that is being written does not take the place of a whole one.
func (s *source) look() {
	if s.path == "" {
		return
	}
	var now identity
	info, err := os.Stat(s.path)
	if err == nil {
		now = identityOf(info)
	}
	settled := now.equal(s.seen)
	s.seen = now
	if !settled || now.equal(s.judged) {
		return
	}
	content, id, err := read(s.path)
	switch {
	case errors.Is(err, errMoving):
		return
	case err != nil:
		s.judged = now
	default:
		s.judged, s.seen = id, id
		err = s.take(content)
	}
	if err != nil {
		s.refuse(err)
		return
	}
	s.reloads.Add(1)
	s.stale.Store(false)
	s.log.Info("origins were read again", "file", s.path, "prefixes", s.table.Load().prefixes)
}

// refuse keeps the old table.
func (s *source) refuse(err error) {
	s.failures.Add(1)
	s.stale.Store(true)
	s.log.Error("origins cannot be read again, the old ones stay", "source", s.kind.String(), "err", err)
}

// errMoving says that the file changed while it was read.
var errMoving = errors.New("the file is being written")

// read gives the content of a regular file of bounded size, as it was at one moment as far as its size and time tell.
func read(path string) (content []byte, id identity, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO is refused below, not waited for
	if err != nil {
		return nil, id, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, id, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, id, fmt.Errorf("%s: not a regular file", path)
	case info.Size() > MaxFile:
		return nil, id, fmt.Errorf("%s: %d octets are more than any table has (limit %d)", path, info.Size(), int64(MaxFile))
	}
	id = identityOf(info)
	content = make([]byte, info.Size())
	if _, err := io.ReadFull(file, content); err != nil {
		return nil, id, fmt.Errorf("%s: %w", path, errors.Join(errMoving, err))
	}
	if info, err = file.Stat(); err != nil {
		return nil, id, err
	}
	if !identityOf(info).equal(id) {
		return nil, id, fmt.Errorf("%s: %w", path, errMoving)
	}
	return content, id, nil
}
