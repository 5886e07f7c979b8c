package trace

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
)

// Crowd is traffic of a number of flows at a time, in small packets. Which flow a packet belongs to is drawn evenly, the
// worst case for a cache: real traffic has favourites.
type Crowd struct {
	Seed    uint64
	Flows   int // at a time
	Packets int // after each flow has had its first
	// New is how many of 100 packets open a new flow, in the place of the oldest. The old one stays in a table until it is
	// idle long enough.
	New int
}

// span is how long a crowd's capture lasts, whatever its size: less than the idle timeout, so that no flow ends before
// the file does.
const span = 60 * second

// Warm writes the first packet of each flow.
func (c Crowd) Warm(w io.Writer, snap int) (Summary, error) {
	f := newFile(w, snap)
	c.warm(f)
	return f.close()
}

// Steady writes the packets that follow.
func (c Crowd) Steady(w io.Writer, snap int) (Summary, error) {
	f := newFile(w, snap)
	c.steady(f)
	return f.close()
}

// Whole writes both as one capture.
func (c Crowd) Whole(w io.Writer, snap int) (Summary, error) {
	f := newFile(w, snap)
	c.warm(f)
	c.steady(f)
	return f.close()
}

func (c Crowd) at(i int) int64 { return int64(i) * span / int64(c.Flows+c.Packets) }

func (c Crowd) warm(f *file) {
	for i := range c.Flows {
		p := member(uint64(i))
		f.add(c.at(i), &p)
	}
	f.sum.Flows += uint64(c.Flows)
}

func (c Crowd) steady(f *file) {
	rng := rand.New(rand.NewPCG(c.Seed, uint64(c.Flows)))
	oldest, newest := uint64(0), uint64(c.Flows)
	owed := 0 // hundredths of a new flow
	for i := range c.Packets {
		id := oldest + rng.Uint64N(newest-oldest)
		if owed += c.New; owed >= 100 {
			owed -= 100
			id = newest
			newest++
			oldest++
			f.sum.Flows++
		}
		p := member(id)
		f.add(c.at(c.Flows+i), &p)
	}
}

// member gives a packet of a flow: a function of the flow's number alone, so that a crowd of any size needs no memory. One
// in eight is IPv6, half is TCP. Different numbers below 1<<32 give different keys.
func member(id uint64) packet {
	key, rest := mix32(uint32(id)), mix64(id)
	p := packet{proto: udp, srcPort: uint16(key >> 16), dstPort: 443, payload: 22 + int(rest&15)}
	if rest>>4&1 == 0 {
		p.proto, p.flags, p.payload = tcp, ack, int(rest&7)
	}
	if rest>>5&7 == 0 {
		p.payload = min(p.payload, 10)
		p.src, p.dst = address6(1, key&0xffff), address6(2, uint32(rest>>32))
		return p
	}
	p.src, p.dst = address4(10<<24|key&0xffff), address4(16<<24+uint32(rest>>34))
	return p
}

func address4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, a)))
}

// address6 gives an address within the documentation prefix.
func address6(subnet byte, a uint32) netip.Addr {
	b := [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: subnet}
	binary.BigEndian.PutUint32(b[12:], a)
	return netip.AddrFrom16(b)
}

// mix32 is a bijection that leaves no pattern (the finalizer known as lowbias32).
func mix32(x uint32) uint32 {
	x = (x ^ x>>16) * 0x7feb352d
	x = (x ^ x>>15) * 0x846ca68b
	return x ^ x>>16
}

// mix64 is the finalizer of splitmix64.
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
