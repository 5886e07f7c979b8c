package pcapfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// Errors that a caller may want to tell apart, for errors.Is. A file that ends within a frame gives io.ErrUnexpectedEOF.
var (
	// ErrFormat is a file of another kind, or of a version that is not understood.
	ErrFormat = errors.New("unsupported capture file")
	// ErrLinkType is a capture whose frames begin with something that the decoder does not know.
	ErrLinkType = errors.New("unsupported link type")
	// ErrDamaged is a file whose structure is broken, so that no further frame can be found.
	ErrDamaged = errors.New("damaged capture file")
)

// Reader reads one capture file.
type Reader struct {
	name   string
	closer io.Closer
	total  int64
	raw    counter // what is read from the file, before unpacking
	src    source
	format format
	walked bool

	mu         sync.Mutex
	stats      Stats
	interfaces []flow.Interface
}

// format is one of the two file formats.
type format interface {
	// walk visits every frame and returns nil at a proper end of the file.
	walk(r *Reader, visit func(*frame.Frame)) error
}

// Walk visits every frame in the order of the file. It returns nil at the end of the file; otherwise every whole frame
// was visited, and the error says where and why the reading ended. The frame is borrowed: it and its Data are valid until
// visit returns.
func (r *Reader) Walk(visit func(*frame.Frame)) error {
	if r.walked {
		return fmt.Errorf("%s: already read: %w", r.name, os.ErrInvalid)
	}
	r.walked = true
	if err := r.format.walk(r, visit); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// Interfaces gives the interfaces that the file has described so far; pcap files describe none. Index is what the frames
// bear as IfIndex: the pcapng interface id. A file of several sections numbers on: an interface that an earlier section
// has described too, with the same name and link type, keeps its number, another gets a new one.
func (r *Reader) Interfaces() []flow.Interface {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.interfaces)
}

// InterfaceName gives the name of the interface whose frames bear index, "" when the file has not told it.
func (r *Reader) InterfaceName(index uint32) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(r.interfaces, index, func(in flow.Interface, index uint32) int {
		return cmp.Compare(in.Index, index)
	}); ok {
		return r.interfaces[i].Name
	}
	return ""
}

// Progress gives how much of the file has been read, and its size, both as they are on disk; 0 for a size that is not
// known, as of a pipe.
func (r *Reader) Progress() (bytesRead, total int64) { return r.raw.n.Load(), r.total }

// Close closes the file.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// counter counts what is read through it.
type counter struct {
	r io.Reader
	n atomic.Int64
}

// Read counts only what came.
func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}
