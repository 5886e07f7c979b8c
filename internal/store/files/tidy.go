package files

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"

	"flowsensor/internal/store"
)

// recover completes the files that an earlier process was writing when it ended: their whole lines count, a torn one is
// cut. It removes half-made compressed copies, whose originals are still there.
func (w *Writer) recover() error {
	all, err := list(w.cfg.Dir, plain, zipped, partial)
	if err != nil {
		return err
	}
	for _, e := range all {
		w.number = max(w.number, fileNumber(e.name)) // a name must never come twice, even within a second
	}
	halfMade, err := list(w.cfg.Dir, working)
	if err != nil {
		return err
	}
	for _, e := range halfMade {
		if err := os.Remove(w.path(e.name)); err != nil {
			return err
		}
	}
	growing, err := list(w.cfg.Dir, partial)
	if err != nil {
		return err
	}
	for _, e := range growing {
		if err := w.adopt(e); err != nil {
			return err
		}
	}
	if err := store.SyncDir(w.cfg.Dir); err != nil {
		return err
	}
	w.background.Go(w.tidy)
	return nil
}

func (w *Writer) adopt(e entry) error {
	f, err := os.OpenFile(w.path(e.name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size, err := store.CutTornLine(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if size < e.size {
		w.log.Warn("an earlier stop left an unfinished line, which is cut", "file", e.name, "bytes", e.size-size)
	}
	if size <= w.headSize() {
		return os.Remove(w.path(e.name))
	}
	w.stats.Completed++
	return os.Rename(w.path(e.name), w.path(strings.TrimSuffix(e.name, partial)))
}

// tidy compresses the complete files, if so configured, and then removes the oldest beyond the total size.
func (w *Writer) tidy() {
	w.tidying.Lock()
	defer w.tidying.Unlock()
	if w.cfg.Compression == Gzip {
		w.compressAll()
	}
	if err := w.prune(); err != nil {
		w.failed("removing old files of flows failed", err)
	}
}

func (w *Writer) compressAll() {
	complete, err := list(w.cfg.Dir, plain)
	if err != nil {
		w.failed("compressing files of flows failed", err)
		return
	}
	for _, e := range complete {
		if err := w.compress(e.name); err != nil {
			w.failed("compressing a file of flows failed; it stays as it is", err)
		}
	}
}

// compress replaces a file by its compressed copy, once that is durable.
func (w *Writer) compress(name string) error {
	from, err := os.Open(w.path(name))
	if err != nil {
		if os.IsNotExist(err) { // moved away by somebody
			return nil
		}
		return err
	}
	defer func() { _ = from.Close() }()
	final := strings.TrimSuffix(name, plain) + zipped
	temporary := w.path(final + working)
	if err := compressTo(temporary, from); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return errors.Join(os.Rename(temporary, w.path(final)), store.SyncDir(w.cfg.Dir), os.Remove(w.path(name)))
}

func compressTo(path string, from io.Reader) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(to)
	_, err = io.Copy(zip, from)
	return errors.Join(err, zip.Close(), to.Sync(), to.Close())
}

// prune removes the oldest complete files until the rest, the growing one included, is within the total size.
func (w *Writer) prune() error {
	if w.cfg.MaxTotal == 0 {
		return nil
	}
	all, err := list(w.cfg.Dir, plain, zipped, partial)
	if err != nil {
		return err
	}
	var total int64
	for _, e := range all {
		total += e.size
	}
	for _, e := range all {
		if total <= w.cfg.MaxTotal {
			return nil
		}
		if strings.HasSuffix(e.name, partial) {
			continue
		}
		if err := os.Remove(w.path(e.name)); err != nil && !os.IsNotExist(err) {
			return err
		}
		total -= e.size
		w.removed(e)
	}
	return nil
}

func (w *Writer) removed(e entry) {
	w.mu.Lock()
	w.stats.Removed++
	w.stats.RemovedBytes += uint64(e.size)
	w.mu.Unlock()
	w.log.Info("the oldest file of flows was removed to keep the total size", "file", e.name, "bytes", e.size)
}

func (w *Writer) failed(what string, err error) {
	w.mu.Lock()
	w.stats.Failures++
	w.mu.Unlock()
	w.log.Warn(what, "error", err) //nolint:sloglint // the callers' messages are constants
}
