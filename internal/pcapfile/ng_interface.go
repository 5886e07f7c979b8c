package pcapfile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// ngInterface is an interface of the section being read.
type ngInterface struct {
	link  frame.LinkType
	id    uint32 // within the file
	snap  uint32
	clock clock
}

// Options of an interface description block.
const (
	optionEnd      = 0
	optionName     = 2
	optionTSResol  = 9
	optionTSOffset = 14
)

const (
	maxName = 255
	// maxInterfaces bounds what a file can make us remember, over all its sections.
	maxInterfaces = 1 << 16
)

// describe takes an interface description block.
func (p *pcapng) describe(r *Reader, body []byte) error {
	if len(body) < 8 {
		return errShortBlock
	}
	i := ngInterface{link: frame.LinkType(p.order.uint16(body)), snap: p.order.uint32(body[4:])}
	name, resolution, offset := "", byte(defaultResolution), int64(0)
	for options := body[8:]; len(options) >= 4; {
		code, length := p.order.uint16(options), int(p.order.uint16(options[2:]))
		if code == optionEnd {
			break
		}
		if len(options)-4 < length {
			return fmt.Errorf("option %d of the interface description is longer than the block: %w", code, ErrDamaged)
		}
		value := options[4 : 4+length]
		switch {
		case code == optionName && name == "":
			name = cleanName(value)
		case code == optionTSResol && length == 1:
			resolution = value[0]
		case code == optionTSOffset && length == 8:
			offset = int64(p.order.uint64(value))
		case code == optionTSResol, code == optionTSOffset:
			return fmt.Errorf("option %d of the interface description has length %d: %w", code, length, ErrDamaged)
		}
		options = options[min(4+(length+3)&^3, len(options)):]
	}
	i.clock = newClock(resolution, offset)
	id, err := p.known.number(r, name, i.link)
	if err != nil {
		return err
	}
	i.id = id
	p.interfaces = append(p.interfaces, i)
	return nil
}

// cleanName makes of an option's value what can be shown: some writers end it with a zero byte.
func cleanName(value []byte) string {
	value, _, _ = bytes.Cut(value, []byte{0})
	return strings.ToValidUTF8(string(value[:min(len(value), maxName)]), "�")
}

// knownInterfaces gives interfaces numbers that hold for the whole file.
type knownInterfaces struct {
	numbers map[nthInterface]uint32
	section map[interfaceKind]int   // how many of a kind the section has described
	links   map[frame.LinkType]bool // seen, and whether the decoder knows them
}

// interfaceKind tells interfaces apart, but not several of a name in one section.
type interfaceKind struct {
	name string
	link frame.LinkType
}

// nthInterface is the same interface in every section.
type nthInterface struct {
	interfaceKind
	nth int
}

func newKnownInterfaces() knownInterfaces {
	return knownInterfaces{
		numbers: map[nthInterface]uint32{}, section: map[interfaceKind]int{}, links: map[frame.LinkType]bool{},
	}
}

// newSection forgets what the section before described.
func (k *knownInterfaces) newSection() { clear(k.section) }

func (k *knownInterfaces) number(r *Reader, name string, link frame.LinkType) (uint32, error) {
	k.links[link] = link.Known()
	kind := interfaceKind{name, link}
	which := nthInterface{kind, k.section[kind]}
	k.section[kind]++
	if id, ok := k.numbers[which]; ok {
		return id, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := uint32(len(r.interfaces))
	if id == maxInterfaces {
		return 0, fmt.Errorf("the file describes more than %d interfaces: %w", maxInterfaces, ErrDamaged)
	}
	r.interfaces = append(r.interfaces, flow.Interface{Index: id, Name: name})
	k.numbers[which] = id
	return id, nil
}

// refusal is an error when the file has interfaces and the decoder knows none of their link types.
func (k *knownInterfaces) refusal() error {
	var names []string
	for link, known := range k.links {
		if known {
			return nil
		}
		names = append(names, linkName(link))
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%s: %w", strings.Join(names, ", "), ErrLinkType)
}
