package pcapfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Open opens a capture file and reads its header; "-" is standard input. The kind of file is known by its content.
func Open(path string) (*Reader, error) { return OpenContext(context.Background(), path) }

// OpenContext is Open that waits for the header no longer than until ctx ends, which ends no more than that.
func OpenContext(ctx context.Context, path string) (*Reader, error) {
	name, f := path, (*os.File)(nil)
	if path == "-" {
		name, f = "standard input", pollable(os.Stdin)
	} else {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
	}
	size := int64(0)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() }) // ends the read, which then says so
	r, err := newReader(name, f, f, size)
	if !stop() && err == nil {
		err = fmt.Errorf("%s: %w", name, ctx.Err())
	}
	if err != nil && path != "-" {
		return nil, errors.Join(err, closed(f.Close()))
	}
	return r, err
}

// closed leaves out that a file was closed before.
func closed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// pollable makes a read of a pipe end when the file is closed, so that waiting for packets can be interrupted. What is no pipe stays
// as it is: its reads do not wait for long, or it is shared with others, as a terminal is.
func pollable(f *os.File) *os.File {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 || f.SetReadDeadline(time.Time{}) == nil {
		return f // the last: it is pollable already
	}
	fd := f.Fd() // which makes it block, so that it is asked once
	if syscall.SetNonblock(int(fd), true) != nil {
		return f
	}
	return os.NewFile(fd, f.Name())
}

// NewReader reads a capture from r, which Close does not close.
func NewReader(r io.Reader) (*Reader, error) { return newReader("capture", r, nil, 0) }

func newReader(name string, from io.Reader, closer io.Closer, size int64) (*Reader, error) {
	r := &Reader{name: name, closer: closer, total: size}
	r.raw.r = from
	r.src = newSource(&r.raw)
	if err := r.open(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

func (r *Reader) open() error {
	head, err := r.src.need(4)
	if err == nil && bytes.HasPrefix(head, gzipMagic) {
		packed := io.MultiReader(bytes.NewReader(bytes.Clone(head)), &r.raw)
		unpacked, err := gzip.NewReader(packed)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		r.src = newSource(unpacked)
		head, err = r.src.need(4)
		if err != nil {
			return tooShort(head, err)
		}
	}
	if err != nil {
		return tooShort(head, err)
	}
	r.format, err = r.src.format()
	return err
}

func tooShort(head []byte, err error) error {
	switch {
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case len(head) == 0:
		return fmt.Errorf("the file is empty: %w", ErrFormat)
	default:
		return fmt.Errorf("the file is only %d bytes long: %w", len(head), ErrFormat)
	}
}

// format reads the file header: all of a pcap file's, of pcapng as much as says that it is one.
func (s *source) format() (format, error) {
	head := s.window()
	if binary.BigEndian.Uint32(head) == blockSection {
		return newPcapng(s)
	}
	if magic, ok := pcapMagics[binary.LittleEndian.Uint32(head)]; ok {
		return newPcap(s, magic)
	}
	if magic, ok := pcapMagics[binary.BigEndian.Uint32(head)]; ok {
		magic.order.big = true
		return newPcap(s, magic)
	}
	return nil, fmt.Errorf("%s: %w", identify(head), ErrFormat)
}
