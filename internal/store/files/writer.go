package files

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"flowsensor/internal/store"
)

// Writer appends lines to the youngest file of a directory. Safe for concurrent use.
type Writer struct {
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	lock *os.File

	background sync.WaitGroup // for what complete files still need
	stop       chan struct{}

	mu     sync.Mutex // protects what follows
	file   *os.File   // nil between files
	name   string     // of file, without .part
	size   int64      // of what is durable in file
	since  time.Time  // file's first line
	number int        // of the last file
	closed bool
	stats  Stats

	tidying sync.Mutex // one at a time compresses and removes
}

var _ store.Writer = (*Writer)(nil)

// Stats counts since the Writer was opened.
type Stats struct {
	Completed    uint64 // files
	Removed      uint64 // complete files that made room for younger ones
	RemovedBytes uint64
	CurrentSize  int64  // of the file that grows
	Failures     uint64 // of writing, compressing and removing
}

// Open takes the directory, completes what an earlier process left growing, and removes what is too much. It makes no
// file: the first Write does.
func Open(cfg Config, log *slog.Logger) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("line-protocol files: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("line-protocol files: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("line-protocol files: %w", err)
	}
	w := &Writer{cfg: cfg, log: log.With("dir", cfg.Dir), now: time.Now, lock: lock, stop: make(chan struct{})}
	if err := w.recover(); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("line-protocol files: recover %s: %w", cfg.Dir, err)
	}
	w.background.Go(w.watch)
	return w, nil
}

func (w *Writer) String() string { return "line-protocol files in " + w.cfg.Dir }

// Stats is a copy; safe for concurrent use.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.CurrentSize = w.size
	return s
}

// Check tries whether a file can be made.
func (w *Writer) Check(context.Context) error {
	f, err := os.CreateTemp(w.cfg.Dir, ".check-*")
	if err != nil {
		return w.failure("make a file", err)
	}
	_, err = f.WriteString("#\n")
	if err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name())); err != nil {
		return w.failure("write a file", err)
	}
	return nil
}

// Write appends the lines to the youngest file and syncs it; see store.Writer.
func (w *Writer) Write(_ context.Context, lines store.Lines) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	text := lines.Bytes()
	w.look()
	if w.file != nil && (w.size+int64(len(text)) > w.cfg.MaxSize || w.now().Sub(w.since) >= w.cfg.MaxAge) {
		w.complete()
	}
	if w.file == nil {
		if err := w.begin(); err != nil {
			w.stats.Failures++
			return w.failure("begin a file", err)
		}
	}
	if err := w.append(text); err != nil {
		w.stats.Failures++
		return w.failure("write", err)
	}
	return nil
}

// look lets go of a file that somebody moved away or deleted: what went on into it would be durable nowhere. Needs w.mu.
func (w *Writer) look() {
	if w.file == nil {
		return
	}
	named, err := os.Stat(w.path(w.name + partial))
	if err == nil {
		if open, err := w.file.Stat(); err == nil && os.SameFile(named, open) {
			return
		}
	}
	w.stats.Failures++
	w.log.Warn("the growing file of flows was moved away or deleted under the collector; a new one is begun", "file", w.name)
	_ = w.file.Close()
	w.file, w.size = nil, 0
}

// begin makes the next file, with its head. Needs w.mu.
func (w *Writer) begin() error {
	var f *os.File
	for {
		w.number++
		w.name = fileName(w.now(), w.number)
		var err error
		f, err = os.OpenFile(w.path(w.name+partial), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o640)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	w.file, w.size, w.since = f, 0, w.now()
	if err := w.append([]byte("# DML\n# CONTEXT-DATABASE: " + w.cfg.Database + "\n")); err != nil {
		return err
	}
	return store.SyncDir(w.cfg.Dir)
}

// append makes text durable at the file's end, or takes back what it left there. Needs w.mu.
func (w *Writer) append(text []byte) error {
	_, err := w.file.Write(text)
	if err == nil {
		if err = w.file.Sync(); err == nil {
			w.size += int64(len(text))
			return nil
		}
	}
	// After a failed sync nobody knows what a later one would say, so this file is never written to again.
	if cut := errors.Join(w.file.Truncate(w.size), w.file.Sync()); cut != nil {
		w.setAside(cut)
		return errors.Join(err, cut)
	}
	w.complete()
	return err
}

// setAside leaves a file whose end is uncertain to the next start, which cuts what is torn. Needs w.mu.
func (w *Writer) setAside(cause error) {
	w.log.Warn("a file of flows cannot be brought to a clean end; the next start completes it", "file", w.name, "error", cause)
	_ = w.file.Close()
	w.file, w.size = nil, 0
}

// complete gives the file its final name and leaves the rest to the background. A file without a line is removed. Needs
// w.mu.
func (w *Writer) complete() {
	if w.file == nil {
		return
	}
	err := w.file.Close()
	switch {
	case w.size <= w.headSize():
		err = errors.Join(err, os.Remove(w.path(w.name+partial)))
	default:
		err = errors.Join(err, os.Rename(w.path(w.name+partial), w.path(w.name)), store.SyncDir(w.cfg.Dir))
		w.stats.Completed++
		w.background.Go(w.tidy)
	}
	if err != nil {
		w.stats.Failures++
		w.log.Warn("completing a file of flows failed; the next start completes it", "file", w.name, "error", err)
	}
	w.file, w.size = nil, 0
}

func (w *Writer) headSize() int64 {
	return int64(len("# DML\n# CONTEXT-DATABASE: \n") + len(w.cfg.Database))
}

// watch completes a file of age when nothing is written any more.
func (w *Writer) watch() {
	ticker := time.NewTicker(min(w.cfg.MaxAge, time.Minute))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.mu.Lock()
			if w.file != nil && w.now().Sub(w.since) >= w.cfg.MaxAge {
				w.complete()
			}
			w.mu.Unlock()
		case <-w.stop:
			return
		}
	}
}

// Close completes the file, waits for the background and lets go of the directory.
func (w *Writer) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	w.complete()
	close(w.stop)
	w.mu.Unlock()
	w.background.Wait()
	return w.lock.Close()
}

// failure says what to do about the usual errors of a file system. All of them may pass by themselves.
func (w *Writer) failure(doing string, err error) error {
	e := &store.Error{Class: store.Temporary, Err: fmt.Errorf("line-protocol files: %s: %w", doing, err)}
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return e
	}
	e.Code = int(errno)
	if errno == syscall.ENOSPC || errno == syscall.EDQUOT {
		e.Remedy = "make room on the file system of " + w.cfg.Dir + ", or lower the total size to keep"
	}
	if errno.Is(os.ErrPermission) || errno == syscall.EROFS {
		e.Class, e.Remedy = store.Configuration, "let the service write to "+w.cfg.Dir
	}
	return e
}
