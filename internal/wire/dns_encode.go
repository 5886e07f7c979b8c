package wire

import (
	"encoding/binary"
	"strings"

	"flowsensor/internal/flow"
)

// DNSEncoder collects DNS answers into the body of one DNS datagram. It never grows past its limit, whatever numbers the
// batch is given later. Make it with NewDNSEncoder; not safe for concurrent use.
type DNSEncoder struct {
	limit int
	rows  []byte
	n     int
	last  flow.DNSAnswer // the newest, as far as the next one refers to it
	names nameTable
}

// NewDNSEncoder makes an encoder for bodies of at most limit octets: seal.MaxPlaintext less HeaderLen.
func NewDNSEncoder(limit int) *DNSEncoder {
	return &DNSEncoder{limit: limit, names: nameTable{ends: make(map[string]nameEnd)}}
}

// Len is the number of answers added.
func (e *DNSEncoder) Len() int { return e.n }

// Size is the length of the body in octets: what AppendBody will append, exactly.
func (e *DNSEncoder) Size() int { return headLen + uvarintLen(uint64(e.n)) + len(e.rows) }

// Reset empties the encoder for the next batch and keeps its memory.
func (e *DNSEncoder) Reset() {
	e.rows, e.n, e.last = e.rows[:0], 0, flow.DNSAnswer{}
	e.names.back(nameMark{})
}

// AppendBody appends the body. The batch must not be empty, and the numbers must be what Numbers asks for: a parser refuses
// others. It may be called again, with other numbers, until Reset.
func (e *DNSEncoder) AppendBody(dst []byte, n Numbers) []byte {
	dst = binary.AppendUvarint(n.append(dst), uint64(e.n))
	return append(dst, e.rows...)
}

// Add takes an answer that flow.DNSAnswer.Validate finds no fault with, and reports whether it fitted. False means full:
// nothing was added, and the answer belongs into the next batch. The time is cut to whole microseconds, downwards.
func (e *DNSEncoder) Add(a *flow.DNSAnswer) bool {
	if e.n == MaxAnswers {
		return false
	}
	length, named := len(e.rows), e.names.mark()
	e.append(a)
	e.n++
	if e.Size() <= e.limit {
		e.last = flow.DNSAnswer{Client: a.Client, Server: a.Server, Version: a.Version, Time: a.Time}
		return true
	}
	e.n--
	e.rows = e.rows[:length]
	e.names.back(named)
	return false
}

func (e *DNSEncoder) append(a *flow.DNSAnswer) {
	b := e.rows
	shape := dnsShape(a, &e.last)
	b = append(b, shape)
	if shape&dnsSameClient == 0 {
		b = appendAddr(b, a.Client, a.Version)
	}
	if shape&dnsSameServer == 0 {
		b = appendAddr(b, a.Server, a.Version)
	}
	if shape&dnsRCode != 0 {
		b = binary.AppendUvarint(b, uint64(a.RCode))
	}
	if shape&dnsQType != 0 {
		b = binary.AppendUvarint(b, uint64(a.QType))
	}
	b = binary.AppendUvarint(b, zigzag(micros(a.Time)-micros(e.last.Time)))
	b = e.names.append(b, a.Question)
	if shape&dnsChain != 0 {
		b = binary.AppendUvarint(b, uint64(len(a.Chain)))
		for _, name := range a.Chain {
			b = e.names.append(b, name)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(a.Addresses)))
	for i := range a.Addresses {
		at := &a.Addresses[i]
		if i > 0 && at.TTL == a.Addresses[i-1].TTL && at.Version == a.Addresses[i-1].Version {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, 1+2*uint64(at.TTL)+uint64(at.Version)/6)
		}
		b = appendAddr(b, at.Addr, at.Version)
	}
	e.rows = b
}

// appendAddr appends 16 octets for IP version 6, otherwise 4.
func appendAddr(b []byte, a flow.Addr, version uint8) []byte {
	if version != 6 {
		return binary.BigEndian.AppendUint32(b, uint32(a.Lo))
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, a.Hi), a.Lo)
}

// nameTable knows the ends of the names in a batch under way.
type nameTable struct {
	ends  map[string]nameEnd
	undo  []string // the keys of ends, in the order they came in
	count int      // of names
}

// nameEnd is where the end of a name begins.
type nameEnd struct{ name, skip int }

// append codes a name by the longest end of it that is known, and gets to know the others.
func (t *nameTable) append(b []byte, name string) []byte {
	front := 0
	known, ok := t.ends[name]
	for !ok {
		t.ends[name[front:]] = nameEnd{t.count, front}
		t.undo = append(t.undo, name[front:])
		dot := strings.IndexByte(name[front:], '.')
		if dot < 0 || front+dot+1 == len(name) { // the last label, or the root
			front = len(name)
			break
		}
		front += dot + 1
		known, ok = t.ends[name[front:]]
	}
	b = binary.AppendUvarint(b, uint64(front))
	b = append(b, name[:front]...)
	if ok {
		b = binary.AppendUvarint(b, uint64(t.count-known.name))
		b = binary.AppendUvarint(b, uint64(known.skip))
	} else {
		b = append(b, 0)
	}
	t.count++
	return b
}

// nameMark is where a table stood.
type nameMark struct{ ends, count int }

func (t *nameTable) mark() nameMark { return nameMark{len(t.undo), t.count} }

// back undoes what was added since the mark.
func (t *nameTable) back(m nameMark) {
	for _, end := range t.undo[m.ends:] {
		delete(t.ends, end)
	}
	clear(t.undo[m.ends:])
	t.undo, t.count = t.undo[:m.ends], m.count
}
