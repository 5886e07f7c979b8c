package pcapfile

import (
	"errors"
	"fmt"
	"io"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// pcapFormat is what the file header of a pcap file says.
type pcapFormat struct {
	order    order
	fraction int64 // nanoseconds of a unit of the second time field
	header   int   // length of a frame's header
	lengths  lengthOrder
	link     frame.LinkType
}

// lengthOrder says which of a frame's two lengths comes first: writers changed it within version 2.3, and before that
// the length on the wire came first (sf-pcap.c of libpcap).
type lengthOrder uint8

const (
	capturedFirst lengthOrder = iota
	wireFirst
	longerIsWire
)

// pcapMagics are the magic numbers as the file's own byte order gives them.
var pcapMagics = map[uint32]pcapFormat{
	0xa1b2c3d4: {fraction: 1000, header: 16},
	0xa1b23c4d: {fraction: 1, header: 16},
	0xa1b2cd34: {fraction: 1000, header: 24}, // Kuznetzov's "modified" pcap: interface, protocol and packet type follow
}

const (
	pcapHeader = 24
	// linkMask takes the link type out of the header's last field, whose upper bits tell of frame check sequences.
	linkMask = 0x03ffffff
)

func newPcap(s *source, p pcapFormat) (format, error) {
	head, err := s.need(pcapHeader)
	if err != nil {
		return nil, fmt.Errorf("the file ends at byte %d, within the pcap header: %w", s.offset+int64(len(head)), err)
	}
	major, minor := p.order.uint16(head[4:]), p.order.uint16(head[6:])
	switch {
	case major == 2 && minor < 3:
		p.lengths = wireFirst
	case major == 2 && minor == 3, major == 543 && minor == 0: // 543 is what DG/UX's tcpdump wrote
		p.lengths = longerIsWire
	case major == 2 && minor == 4:
	default:
		return nil, fmt.Errorf("pcap version %d.%d, where 2.0 to 2.4 are understood: %w", major, minor, ErrFormat)
	}
	p.link = frame.LinkType(p.order.uint32(head[20:]) & linkMask)
	if !p.link.Known() {
		return nil, fmt.Errorf("%s: %w", linkName(p.link), ErrLinkType)
	}
	s.consume(pcapHeader)
	return &p, nil
}

func (p *pcapFormat) walk(r *Reader, visit func(*frame.Frame)) error {
	var (
		s     = &r.src
		stats Stats
		f     = frame.Frame{Link: p.link}
	)
	defer r.publish(&stats)
	for {
		used, err := p.visitWindow(s.window(), &f, &stats, visit)
		s.consume(used)
		if err != nil {
			return fmt.Errorf("frame %d at byte %d: %w", stats.Frames+1, s.offset, err)
		}
		r.publish(&stats)
		if err := s.more(); err != nil {
			return endOf(s, err, stats.Frames, "frame")
		}
	}
}

// visitWindow visits the frames that lie wholly in b and gives the number of bytes they took.
func (p *pcapFormat) visitWindow(b []byte, f *frame.Frame, stats *Stats, visit func(*frame.Frame)) (int, error) {
	used := 0
	for {
		rest := b[used:]
		if len(rest) < p.header {
			return used, nil
		}
		captured, wire := p.order.uint32(rest[8:]), p.order.uint32(rest[12:])
		if p.lengths != capturedFirst && (p.lengths == wireFirst || captured > wire) {
			captured, wire = wire, captured
		}
		if captured > maxFrame {
			return used, errTooLong(captured)
		}
		end := p.header + int(captured)
		if len(rest) < end {
			return used, nil
		}
		if captured > wire {
			wire = captured
			stats.Overlong++
		}
		f.Data = rest[p.header:end:end]
		f.Len = wire
		// The fraction is signed in libpcap, and times before 1970 are written with a negative one.
		f.Time = int64(p.order.uint32(rest))*1e9 + int64(int32(p.order.uint32(rest[4:])))*p.fraction
		if f.Time < 0 {
			f.Time = 0
			stats.Clamped++
		}
		stats.Frames++
		stats.Bytes += uint64(captured)
		visit(f)
		used += end
	}
}

// The largest time that the two 32-bit fields make is one a record can hold.
const _ = uint64(flow.MaxTime) - (1<<32-1)*1e9 - (1<<31-1)*1000

func errTooLong(captured uint32) error {
	return fmt.Errorf("it claims %d captured bytes, at most %d are believed: %w", captured, maxFrame, ErrDamaged)
}

// endOf says what an error of more or skip means, where what is left in the window is the beginning of a frame or block,
// or nothing.
func endOf(s *source, err error, frames uint64, what string) error {
	left := s.end - s.start
	switch {
	case errors.Is(err, io.EOF) && left == 0:
		return nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the file ends at byte %d, %d bytes into a %s, after %d whole frames: %w",
		s.offset+int64(left), left, what, frames, err)
}
