package trace

import (
	"bufio"
	"encoding/binary"
	"io"
)

// Epoch is the time of the first packet, in microseconds since 1970.
const Epoch = 1_750_000_000 * second

const second = 1_000_000 // in microseconds, the unit of the files

// Summary says what was written.
type Summary struct {
	Packets uint64
	Flows   uint64 // different keys: the two directions of a conversation are two
	Octets  uint64 // on the wire, from the Ethernet header on
}

// Mean is the mean length of a packet on the wire.
func (s Summary) Mean() uint64 {
	if s.Packets == 0 {
		return 0
	}
	return s.Octets / s.Packets
}

// file writes a pcap file (draft-ietf-opsawg-pcap) with microseconds, the form that every peer reads.
type file struct {
	out  *bufio.Writer
	snap int // octets kept of each packet; 0 keeps all
	head []byte
	sum  Summary
	err  error // the first
}

const (
	magic       = 0xa1b2c3d4
	linkEther   = 1
	fullSnap    = 262144
	headerLen   = 24
	recordLen   = 16
	padding     = 2048 // at least the longest packet
	buffer      = 1 << 20
	versionHigh = 2
	versionLow  = 4
)

// newFile writes the file's header.
func newFile(w io.Writer, snap int) *file {
	f := &file{out: bufio.NewWriterSize(w, buffer), snap: snap}
	if f.snap == 0 {
		f.snap = fullSnap
	}
	h := make([]byte, headerLen)
	binary.LittleEndian.PutUint32(h[0:], magic)
	binary.LittleEndian.PutUint16(h[4:], versionHigh)
	binary.LittleEndian.PutUint16(h[6:], versionLow)
	binary.LittleEndian.PutUint32(h[16:], uint32(f.snap))
	binary.LittleEndian.PutUint32(h[20:], linkEther)
	_, f.err = f.out.Write(h)
	return f
}

var zeros [padding]byte

// add writes a packet at a time in microseconds after Epoch; its payload is zeros.
func (f *file) add(at int64, p *packet) {
	if f.err != nil {
		return
	}
	f.head = p.appendHeaders(append(f.head[:0], zeros[:recordLen]...))
	wire := len(f.head) - recordLen + p.payload
	kept := min(wire, f.snap)
	at += Epoch
	binary.LittleEndian.PutUint32(f.head[0:], uint32(at/second))
	binary.LittleEndian.PutUint32(f.head[4:], uint32(at%second))
	binary.LittleEndian.PutUint32(f.head[8:], uint32(kept))
	binary.LittleEndian.PutUint32(f.head[12:], uint32(wire))
	headers := min(len(f.head), recordLen+kept)
	_, f.err = f.out.Write(f.head[:headers])
	if rest := recordLen + kept - headers; rest > 0 && f.err == nil {
		_, f.err = f.out.Write(zeros[:rest])
	}
	f.sum.Packets++
	f.sum.Octets += uint64(wire)
}

// close writes out what is buffered and gives the summary.
func (f *file) close() (Summary, error) {
	if f.err == nil {
		f.err = f.out.Flush()
	}
	return f.sum, f.err
}
