package pcapfile

import (
	"errors"
	"fmt"
	"io"

	"flowsensor/internal/frame"
)

// Block types.
const (
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
	blockSection   = 0x0a0d0d0a // the same in both byte orders
)

const (
	byteOrderMagic = 0x1a2b3c4d
	minBlock       = 12 // type, length, and the length again at the end
	sectionHeader  = 28 // the shortest section header block
	// maxBlock is the longest block that is looked into: a longest frame and 64 KiB of options. Longer ones of the kinds
	// that matter here are refused, others are skipped.
	maxBlock = maxFrame + 64<<10
)

// pcapng is the state of reading a pcapng file.
type pcapng struct {
	order      order
	stats      Stats
	f          frame.Frame
	interfaces []ngInterface // of this section
	known      knownInterfaces
}

func newPcapng(s *source) (format, error) {
	head, err := s.need(sectionHeader)
	if err != nil {
		return nil, fmt.Errorf("the file ends at byte %d, within the pcapng section header: %w", s.offset+int64(len(head)), err)
	}
	// The walk reads the block again: what is said here is that this is pcapng, and of a version that is understood.
	return &pcapng{known: newKnownInterfaces()}, new(pcapng).section(head)
}

func (p *pcapng) walk(r *Reader, visit func(*frame.Frame)) error {
	s := &r.src
	defer r.publish(&p.stats)
	for {
		used, skip, err := p.visitWindow(r, s.window(), visit)
		s.consume(used)
		if err != nil {
			return fmt.Errorf("block at byte %d, after %d frames: %w", s.offset, p.stats.Frames, err)
		}
		r.publish(&p.stats)
		if skip > 0 {
			err = s.skip(skip)
		} else {
			err = s.more()
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && len(s.window()) == 0:
			return p.known.refusal()
		default:
			return endOf(s, err, p.stats.Frames, "block")
		}
	}
}

// visitWindow visits the frames of the blocks that lie wholly in b and gives the number of bytes they took, and the
// length of the block after them where that is none to look into and may be longer than the buffer.
func (p *pcapng) visitWindow(r *Reader, b []byte, visit func(*frame.Frame)) (used int, skip int64, err error) {
	for {
		rest := b[used:]
		kind, length, err := p.head(rest)
		switch {
		case length == 0 || err != nil:
			return used, 0, err
		case length > maxBlock:
			return used, length, lookedInto(kind, length)
		case int64(len(rest)) < length:
			return used, 0, nil
		case p.order.uint32(rest[length-4:]) != p.order.uint32(rest[4:]):
			return used, 0, fmt.Errorf("its length at the end is another than at the start: %w", ErrDamaged)
		}
		if err := p.block(r, kind, rest[8:length-4], visit); err != nil {
			return used, 0, err
		}
		used += int(length)
	}
}

// head gives the kind and padded length of the block that b begins with, 0 when b is too short to tell.
func (p *pcapng) head(b []byte) (kind uint32, length int64, err error) {
	if len(b) < minBlock {
		return 0, 0, nil
	}
	kind = p.order.uint32(b)
	if kind == blockSection {
		if len(b) < sectionHeader {
			return kind, 0, nil
		}
		if err := p.section(b); err != nil {
			return kind, 0, err
		}
	}
	// Some writers leave the padding out of the length (Wireshark's pcapng.c rounds up too).
	length = (int64(p.order.uint32(b[4:])) + 3) &^ 3
	if length < minBlock {
		return kind, 0, fmt.Errorf("its length is %d: %w", length, ErrDamaged)
	}
	return kind, length, nil
}

// lookedInto refuses a long block of a kind that matters.
func lookedInto(kind uint32, length int64) error {
	switch kind {
	case blockEnhanced, blockPacket, blockSimple, blockInterface, blockSection:
		return fmt.Errorf("it claims %d bytes, at most %d are believed: %w", length, maxBlock, ErrDamaged)
	default:
		return nil
	}
}

// block takes one block's body. Kinds that are not here hold no frames.
func (p *pcapng) block(r *Reader, kind uint32, body []byte, visit func(*frame.Frame)) error {
	switch kind {
	case blockEnhanced:
		if len(body) < 20 {
			return errShortBlock
		}
		return p.packet(p.order.uint32(body), body, visit)
	case blockPacket:
		if len(body) < 20 {
			return errShortBlock
		}
		return p.packet(uint32(p.order.uint16(body)), body, visit)
	case blockSimple:
		return p.simple(body, visit)
	case blockInterface:
		return p.describe(r, body)
	case blockSection:
		p.interfaces = p.interfaces[:0]
		p.known.newSection()
	}
	return nil
}

var errShortBlock = fmt.Errorf("it is too short for its kind: %w", ErrDamaged)

// packet takes an enhanced packet block, or an obsolete packet block, which differ in the interface's id.
func (p *pcapng) packet(id uint32, body []byte, visit func(*frame.Frame)) error {
	if int64(id) >= int64(len(p.interfaces)) {
		return fmt.Errorf("it is of interface %d, where %d are described: %w", id, len(p.interfaces), ErrDamaged)
	}
	i := &p.interfaces[id]
	captured, wire := p.order.uint32(body[12:]), p.order.uint32(body[16:])
	if captured > maxFrame {
		return errTooLong(captured)
	}
	end := 20 + int(captured)
	if len(body) < end {
		return fmt.Errorf("its frame of %d bytes is longer than the block: %w", captured, ErrDamaged)
	}
	ts := uint64(p.order.uint32(body[4:]))<<32 | uint64(p.order.uint32(body[8:]))
	if ts < i.clock.plain {
		p.f.Time = int64(ts*i.clock.multiply) + i.clock.offset
	} else {
		p.f.Time = i.clock.time(ts, &p.stats)
	}
	p.visit(i, body[20:end:end], wire, visit)
	return nil
}

// simple takes a simple packet block: of the first interface, without a time, cut at the interface's snap length.
func (p *pcapng) simple(body []byte, visit func(*frame.Frame)) error {
	if len(p.interfaces) == 0 {
		return fmt.Errorf("it is of interface 0, where 0 are described: %w", ErrDamaged)
	}
	if len(body) < 4 {
		return errShortBlock
	}
	i := &p.interfaces[0]
	wire := p.order.uint32(body)
	captured := wire
	if i.snap > 0 {
		captured = min(captured, i.snap)
	}
	captured = min(captured, uint32(len(body)-4))
	if captured > maxFrame {
		return errTooLong(captured)
	}
	p.stats.Untimed++
	p.visit(i, body[4:4+captured:4+captured], wire, visit)
	return nil
}

func (p *pcapng) visit(i *ngInterface, data []byte, wire uint32, visit func(*frame.Frame)) {
	if len(data) > int(wire) {
		wire = uint32(len(data))
		p.stats.Overlong++
	}
	p.f.Data, p.f.Len, p.f.IfIndex, p.f.Link = data, wire, i.id, i.link
	p.stats.Frames++
	p.stats.Bytes += uint64(len(data))
	visit(&p.f)
}

// section takes the beginning of a section header block, which sets the byte order of all that follows.
func (p *pcapng) section(head []byte) error {
	switch {
	case order{}.uint32(head[8:]) == byteOrderMagic:
		p.order.big = false
	case order{big: true}.uint32(head[8:]) == byteOrderMagic:
		p.order.big = true
	default:
		return fmt.Errorf("section header without a byte-order magic: %w", ErrDamaged)
	}
	major, minor := p.order.uint16(head[12:]), p.order.uint16(head[14:])
	if major != 1 || (minor != 0 && minor != 2) { // 1.2 was written for 1.0 by early Apple tools
		return fmt.Errorf("pcapng version %d.%d, where 1.0 is understood: %w", major, minor, ErrFormat)
	}
	return nil
}
