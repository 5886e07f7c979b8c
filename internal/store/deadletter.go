package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// ErrDeadLettersFull says that the dead-letter file has no room: nothing more is accepted for it until somebody looked
// at it and moved it away.
var ErrDeadLettersFull = errors.New("dead-letter file is full")

// DeadLetterConfig says where lines go that the database will never take.
type DeadLetterConfig struct {
	// Path of the file; its folder is made when missing.
	Path string
	// MaxSize bounds the file, in bytes. One letter that is longer has a file to itself.
	MaxSize int64
}

// DefaultDeadLetterSize holds about 200,000 lines.
const DefaultDeadLetterSize = 64 << 20

// Letter is a group of lines that are given up for one reason.
type Letter struct {
	Why   DeadReason
	Cause string
	Lines Lines
}

// DeadLetters is the file of lines that could not be stored. Each group stands after a comment line with the time, the
// reason and the database's words, so that the whole file can be sent again once the cause is mended; a record that made
// no line stands as JSON in a comment. The operator may move the file away or empty it at any time. After a crash lines
// may stand twice, and a torn one is cut when the file is opened. Safe for concurrent use; the opener closes it.
type DeadLetters struct {
	cfg DeadLetterConfig
	now func() time.Time

	mu   sync.Mutex
	file *os.File // nil after a failure, until the next Append
	size int64
	buf  bytes.Buffer
}

// OpenDeadLetters opens the file and cuts a line that a crash left unfinished.
func OpenDeadLetters(cfg DeadLetterConfig) (*DeadLetters, error) {
	if cfg.Path == "" {
		return nil, errors.New("dead-letter file: no path given")
	}
	if cfg.MaxSize < 4096 {
		return nil, fmt.Errorf("dead-letter file: size of %d bytes, must be at least 4 KiB", cfg.MaxSize)
	}
	d := &DeadLetters{cfg: cfg, now: time.Now}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

// open needs d.mu once d is shared.
func (d *DeadLetters) open() error {
	if err := os.MkdirAll(filepath.Dir(d.cfg.Path), 0o750); err != nil {
		return fmt.Errorf("make folder of dead-letter file: %w", err)
	}
	f, err := os.OpenFile(d.cfg.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open dead-letter file: %w", err)
	}
	size, err := CutTornLine(f)
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("recover dead-letter file: %w", err)
	}
	// Without this the new file's name may not survive a crash that its content survives.
	if err := SyncDir(filepath.Dir(d.cfg.Path)); err != nil {
		_ = f.Close()
		return fmt.Errorf("sync folder of dead-letter file: %w", err)
	}
	d.file, d.size = f, size
	return nil
}

// Path is the file's name, for messages.
func (d *DeadLetters) Path() string { return d.cfg.Path }

// Size is the file's length in bytes.
func (d *DeadLetters) Size() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size
}

// Append makes the letter durable, or returns an error and leaves the file as it was.
func (d *DeadLetters) Append(letter Letter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.current(); err != nil {
		return err
	}
	d.write(letter)
	if d.size > 0 && d.size+int64(d.buf.Len()) > d.cfg.MaxSize {
		return fmt.Errorf("%w: %d of %d bytes used", ErrDeadLettersFull, d.size, d.cfg.MaxSize)
	}
	if _, err := d.file.Write(d.buf.Bytes()); err != nil {
		return d.giveUp(fmt.Errorf("write dead-letter file: %w", err))
	}
	if err := d.file.Sync(); err != nil {
		return d.giveUp(fmt.Errorf("sync dead-letter file: %w", err))
	}
	d.size += int64(d.buf.Len())
	return nil
}

// current makes d.file the file that has the configured name now.
func (d *DeadLetters) current() error {
	if d.file != nil {
		named, err := os.Stat(d.cfg.Path)
		if err == nil {
			if open, err := d.file.Stat(); err == nil && os.SameFile(named, open) {
				d.size = open.Size() // somebody may have emptied it
				return nil
			}
		}
		_ = d.file.Close()
		d.file = nil
	}
	return d.open()
}

// giveUp takes back what a failed write may have left and closes the file: what the kernel kept of it after a failed
// sync is unknown, so the next Append starts from what can be read.
func (d *DeadLetters) giveUp(err error) error {
	err = errors.Join(err, d.file.Truncate(d.size), d.file.Close())
	d.file = nil
	return err
}

// write renders the letter into d.buf.
func (d *DeadLetters) write(letter Letter) {
	c := letter.Lines.Count()
	d.buf.Reset()
	fmt.Fprintf(&d.buf, "# %s reason=%s lines=%d records=%d packets=%d bytes=%d cause=%s\n",
		d.now().UTC().Format(time.RFC3339Nano), letter.Why, letter.Lines.Len(), c.Records, c.Packets, c.Bytes,
		strconv.Quote(bounded(letter.Cause, 512)))
	d.buf.Write(letter.Lines.Bytes())
}

// Close closes the file.
func (d *DeadLetters) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}

func bounded(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

// CutTornLine shortens a file of lines to its last newline and returns its length then.
func CutTornLine(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	end, err := lastNewline(f, size)
	if err != nil || end == size {
		return size, err
	}
	if err := f.Truncate(end); err != nil {
		return 0, err
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return 0, err
	}
	return end, f.Sync()
}

// lastNewline gives the offset after the last newline before size, 0 where there is none.
func lastNewline(f io.ReaderAt, size int64) (int64, error) {
	block := make([]byte, 64<<10)
	for size > 0 {
		n := min(size, int64(len(block)))
		if _, err := f.ReadAt(block[:n], size-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			return size - n + int64(i) + 1, nil
		}
		size -= n
	}
	return 0, nil
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
