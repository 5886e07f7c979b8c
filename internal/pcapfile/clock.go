package pcapfile

import (
	"math/bits"

	"flowsensor/internal/flow"
)

// defaultResolution is microseconds.
const defaultResolution = 6

// clock turns an interface's timestamps into nanoseconds since 1970.
type clock struct {
	// A timestamp below plain has the time ts * multiply + offset, in range. Others go through time.
	plain    uint64
	multiply uint64
	offset   int64 // nanoseconds

	// What time takes besides: ts * multiply / divide >> shift, and the offset as the file has it.
	divide  uint64
	shift   uint8
	seconds int64
}

// newClock takes the if_tsresol option, a power of ten, or of two where the top bit is set, and if_tsoffset, in seconds.
func newClock(resolution byte, offset int64) clock {
	c := clock{multiply: 1, divide: 1, seconds: offset}
	exponent := resolution & 0x7f
	switch {
	case resolution&0x80 != 0:
		c.multiply, c.shift = 1e9, exponent
	case exponent <= 9:
		c.multiply = power10(9 - exponent)
		if offset >= 0 && offset <= flow.MaxTime/1e9 {
			c.offset = offset * 1e9
			c.plain = uint64(flow.MaxTime-c.offset)/c.multiply + 1
		}
	case exponent <= 9+19:
		c.divide = power10(exponent - 9)
	default:
		c.multiply = 0 // 64 bits of such units are less than a nanosecond
	}
	return c
}

func power10(n byte) uint64 {
	v := uint64(1)
	for range n {
		v *= 10
	}
	return v
}

// time gives the time of a timestamp in the range that a record can hold, and counts where it is not in it. It computes
// in 128 bits, which no resolution, offset and timestamp exceed.
func (c *clock) time(ts uint64, stats *Stats) int64 {
	hi, lo := bits.Mul64(ts, c.multiply)
	lo /= c.divide // where it is not 1, multiply is, and hi is 0
	if c.shift > 63 {
		hi, lo = 0, hi>>(c.shift-64)
	} else if c.shift > 0 {
		hi, lo = hi>>c.shift, lo>>c.shift|hi<<(64-c.shift)
	}
	if c.seconds < 0 {
		offsetHi, offsetLo := bits.Mul64(uint64(-c.seconds), 1e9)
		low, borrow := bits.Sub64(lo, offsetLo, 0)
		high, borrow := bits.Sub64(hi, offsetHi, borrow)
		if borrow != 0 {
			stats.Clamped++
			return 0
		}
		hi, lo = high, low
	} else {
		offsetHi, offsetLo := bits.Mul64(uint64(c.seconds), 1e9)
		low, carry := bits.Add64(lo, offsetLo, 0)
		hi, lo = hi+offsetHi+carry, low
	}
	if hi != 0 || lo > uint64(flow.MaxTime) {
		stats.Clamped++
		return flow.MaxTime
	}
	return int64(lo)
}
