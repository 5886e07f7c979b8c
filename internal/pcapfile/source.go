package pcapfile

import (
	"errors"
	"io"
)

const (
	// bufferSize holds the longest frame with its headers, and the tail of the one before.
	bufferSize = 1 << 20
	// readSize is what one read asks for: small enough to be in the cache still when it is looked at.
	readSize = 256 << 10
	// maxFrame is the longest captured frame that is believed: the kernel's largest super-packet (GSO_MAX_SIZE in
	// linux/netdevice.h, 8 times 64 KiB) and its link header. libpcap stops at 256 KiB.
	maxFrame = 512<<10 + 4096
)

// source is a window over a stream. Its buffer never grows. Mapping the file instead cost more at 64 bytes a frame (29 ns
// to 10) and the same at 500, and a second goroutine that reads ahead cost 14 ns to 9 and 86 to 61: the kernel's copy is
// what a frame costs here, and it is best looked at where it was made.
type source struct {
	r          io.Reader
	buf        []byte
	start, end int
	offset     int64 // in the stream, of buf[start]
}

func newSource(r io.Reader) source { return source{r: r, buf: make([]byte, bufferSize)} }

// window gives what has been read and not consumed. It is valid until the next call of more or skip.
func (s *source) window() []byte { return s.buf[s.start:s.end] }

func (s *source) consume(n int) {
	s.start += n
	s.offset += int64(n)
}

// more makes the window longer by at least one byte. It gives io.EOF at the end of the stream and the reader's own errors
// otherwise.
func (s *source) more() error {
	s.end = copy(s.buf, s.window())
	s.start = 0
	room := s.buf[s.end:min(s.end+readSize, len(s.buf))]
	if len(room) == 0 {
		return io.ErrShortBuffer
	}
	for range 100 {
		n, err := s.r.Read(room)
		s.end += n
		if n > 0 {
			return nil // an error that came with it comes again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// need reads until the window has n bytes, at most bufferSize. The end of the stream before that is
// io.ErrUnexpectedEOF.
func (s *source) need(n int) ([]byte, error) {
	for s.end-s.start < n {
		if err := s.more(); errors.Is(err, io.EOF) {
			return s.window(), io.ErrUnexpectedEOF
		} else if err != nil {
			return s.window(), err
		}
	}
	return s.window(), nil
}

// skip consumes n bytes, however many.
func (s *source) skip(n int64) error {
	for n > 0 {
		if s.start == s.end {
			if err := s.more(); errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			} else if err != nil {
				return err
			}
		}
		step := int(min(n, int64(s.end-s.start)))
		s.consume(step)
		n -= int64(step)
	}
	return nil
}
