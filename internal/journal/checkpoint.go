package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

const (
	// forgetAfter is how long nothing has to come of a sensor, by the journal's time, for it to be forgotten, in seconds: 90
	// days. A sensor that comes back later still sends at most what it had unacknowledged then, whose records make the same
	// points again; roll-ups count them twice.
	forgetAfter = 90 * 24 * 3600
	// forgetEvery is how often that is looked at, in seconds.
	forgetEvery = 3600
)

// checkpoint is what is known to be stored of one shard. Not safe for concurrent use.
type checkpoint struct {
	// writer is whose it is: each session of a writer has a name of its own.
	writer string
	// created is when the stream was made that position counts in, ns since the epoch. A new stream begins at 1 again.
	created int64
	// position is the last message that is stored, as are all before it.
	position uint64
	// number is that of the last window that was made known, other that of the last one before the clock leapt. edges are
	// those that were made known and are not acknowledged, ascending. config is what their rows were made under.
	number  int64
	other   int64
	config  string
	edges   []edge
	sensors map[string]*known

	looked int64 // when forget looked through them
}

// known is what a checkpoint knows of a sensor.
type known struct {
	boots windows
	heard int64 // when a batch of it came last, by the journal's time, seconds since the epoch
}

func newCheckpoint() *checkpoint { return &checkpoint{sensors: make(map[string]*known)} }

// take reports whether the batch is new; at is when it came, by the journal's time.
func (c *checkpoint) take(m mark, at int64) bool {
	k := c.sensors[m.sensor]
	if k == nil {
		k = new(known)
		c.sensors[m.sensor] = k
	}
	k.heard = max(k.heard, at)
	return k.boots.take(m.boot, m.seq, m.floor)
}

// forget lets go of the sensors that are gone, now and then. now is the journal's time, or our own where that is behind: no
// clock that is ahead alone makes anything forgotten. Nor does one that leaps: who lives is heard before the next look.
func (c *checkpoint) forget(now int64) {
	since := now - c.looked
	if since >= 0 && since < forgetEvery {
		return
	}
	c.looked = now
	if since < 0 || since >= 2*forgetEvery {
		return
	}
	maps.DeleteFunc(c.sensors, func(_ string, k *known) bool { return k.heard < now-forgetAfter })
}

// passEdges forgets edges that lie before the position: a writer that gathered nothing went over them.
func (c *checkpoint) passEdges() {
	c.edges = slices.DeleteFunc(c.edges, func(e edge) bool { return e.position <= c.position })
	if len(c.edges) == 0 {
		c.edges = nil
	}
}

// mark is a batch's identity, and the floor that came with it.
type mark struct {
	sensor           string
	boot, seq, floor uint64
}

// clone copies.
func (c *checkpoint) clone() *checkpoint {
	d := *c
	d.edges = slices.Clone(c.edges)
	d.sensors = make(map[string]*known, len(c.sensors))
	for id, k := range c.sensors {
		d.sensors[id] = &known{boots: slices.Clone(k.boots), heard: k.heard}
	}
	return &d
}

const checkpointVersion = 3

var errCheckpoint = errors.New("checkpoint is malformed")

// append codes the checkpoint: version; length and name of the writer; created, position, number and other in 8 octets
// each; length and text of config; number of edges; for each: number and position in 8 octets each, kind; number of sensors; for each:
// length and id, heard, number of boots, for each: boot in 8 octets, floor, number of words, the words in 8 octets each, from
// that of the floor on. Numbers are varints where no width is given.
func (c *checkpoint) append(dst []byte) []byte {
	dst = append(dst, checkpointVersion)
	dst = appendText(dst, c.writer)
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.created))
	dst = binary.BigEndian.AppendUint64(dst, c.position)
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.number))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.other))
	dst = appendText(dst, c.config)
	dst = binary.AppendUvarint(dst, uint64(len(c.edges)))
	for _, e := range c.edges {
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.number))
		dst = binary.BigEndian.AppendUint64(dst, e.position)
		dst = append(dst, byte(e.kind))
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.sensors)))
	for id, k := range c.sensors {
		dst = appendText(dst, id)
		dst = binary.AppendUvarint(dst, uint64(k.heard))
		dst = binary.AppendUvarint(dst, uint64(len(k.boots)))
		for i := range k.boots {
			dst = k.boots[i].append(dst)
		}
	}
	return dst
}

func (w *window) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, w.boot)
	dst = binary.AppendUvarint(dst, w.floor)
	// Little is taken far above the floor, as a rule: what is there stands in the first words from its own on. That one holds
	// the highest numbers too, below the floor's place.
	first, n := w.first(), windowWords
	for n > 0 && w.bits[(first+n-1)%windowWords] == 0 {
		n--
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for i := range n {
		dst = binary.BigEndian.AppendUint64(dst, w.bits[(first+i)%windowWords])
	}
	return dst
}

// first is the word of the floor.
func (w *window) first() int {
	word, _ := bitOf(w.floor)
	return word
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// readCheckpoint is the reverse of append.
func readCheckpoint(data []byte) (*checkpoint, error) {
	r := checkpointReader{rest: data}
	c := newCheckpoint()
	switch version := r.octet(); {
	case version > checkpointVersion:
		return nil, fmt.Errorf("checkpoint: %w: %d", errVersion, version)
	case version < checkpointVersion:
		return nil, errCheckpoint
	}
	c.writer = r.text()
	c.created, c.position, c.number, c.other = int64(r.uint64()), r.uint64(), int64(r.uint64()), int64(r.uint64())
	c.config = r.text()
	for range r.count(17) {
		e := edge{number: int64(r.uint64()), position: r.uint64(), kind: Edge(r.octet())}
		if e.kind == 0 || e.kind >= edges {
			return nil, errCheckpoint
		}
		c.edges = append(c.edges, e)
	}
	for range r.count(3) {
		id, heard := r.text(), r.uvarint()
		boots := make(windows, r.count(10))
		for i := range boots {
			r.window(&boots[i])
		}
		ordered := slices.IsSortedFunc(boots, func(a, b window) int {
			if a.boot < b.boot {
				return -1
			}
			return 1
		})
		if r.bad || !ordered || len(boots) > maxBoots {
			return nil, errCheckpoint
		}
		c.sensors[id] = &known{boots: boots, heard: int64(heard)}
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errCheckpoint
	}
	return c, nil
}

// checkpointReader takes a checkpoint apart. Once bad it gives zeros.
type checkpointReader struct {
	rest []byte
	bad  bool
}

func (r *checkpointReader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *checkpointReader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *checkpointReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *checkpointReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads a number of things of at least size octets each.
func (r *checkpointReader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *checkpointReader) text() string { return string(r.take(r.count(1))) }

func (r *checkpointReader) window(w *window) {
	w.boot, w.floor = r.uint64(), r.uvarint()
	n := r.count(8)
	if n > windowWords {
		r.bad = true
		return
	}
	first := w.first()
	for i := range n {
		w.bits[(first+i)%windowWords] = r.uint64()
	}
}
