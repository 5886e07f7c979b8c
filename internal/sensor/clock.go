package sensor

import (
	"time"

	"flowsensor/internal/flow"
)

// maxLag is the longest a frame can plausibly wait between its stamp and its accounting: a ring holds seconds.
const maxLag = 10 * time.Second

// clock relates the kernel's wall-clock stamps to monotonic time, in which flows age: a step of the wall clock neither
// ages nor freezes a flow. It is read once a batch, never per packet. One goroutine uses it.
type clock struct {
	read   func() (mono, wall int64) // nanoseconds; one instant on both clocks
	mono   int64
	offset int64 // wall minus monotonic at the last reading
	// clamped counts packets whose stamp lay outside the plausible lag, as after a step of the wall clock.
	clamped uint64
}

// newClock starts a monotonic clock at zero.
func newClock() *clock {
	start := time.Now()
	c := &clock{read: func() (int64, int64) {
		now := time.Now()
		return int64(now.Sub(start)), now.UnixNano()
	}}
	c.tick()
	return c
}

// tick reads both clocks and gives the monotonic one.
func (c *clock) tick() int64 {
	mono, wall := c.read()
	c.mono, c.offset = mono, wall-mono
	return mono
}

// monotonic converts a packet's stamp as of the last tick.
func (c *clock) monotonic(stamp int64) int64 {
	t := stamp - c.offset
	if t > c.mono || t < c.mono-int64(maxLag) {
		c.clamped++
		return c.mono
	}
	return t
}

// convert implements timebase: the batch's stamps become monotonic.
func (c *clock) convert(batch []flow.Packet) (now int64) {
	now = c.tick()
	for i := range batch {
		batch[i].Time = c.monotonic(batch[i].Time)
	}
	return now
}

// wall converts back, by the offset of the last tick: a span stays as long as it was, whatever the wall clock did.
func (c *clock) wall(mono int64) int64 { return mono + c.offset }
