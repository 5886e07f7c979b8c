package sensor

import (
	"testing"
	"time"
)

const second = int64(time.Second)

func TestClockSurvivesWallSteps(t *testing.T) {
	mono, wall := 100*second, 1_000_000*second
	c := &clock{read: func() (int64, int64) { return mono, wall }}
	c.tick()
	first := c.monotonic(wall - second)
	if first != 99*second || c.clamped != 0 {
		t.Fatalf("a stamp one second old is %d, clamped %d", first, c.clamped)
	}
	mono, wall = mono+10*second, wall+10*second+3600*second // ten seconds pass, and the wall clock jumps an hour ahead
	if got := c.monotonic(wall); got != 100*second || c.clamped != 1 {
		t.Errorf("a stamp from after the step, before the next reading: %d, clamped %d", got, c.clamped)
	}
	c.tick()
	if got := c.monotonic(wall - 2*second); got != 108*second || c.clamped != 1 {
		t.Errorf("after the reading: %d, clamped %d", got, c.clamped)
	}
	if got := c.monotonic(1_000_009 * second); got != 110*second || c.clamped != 2 {
		t.Errorf("a stamp from before the step: %d, clamped %d", got, c.clamped)
	}
	if span := c.wall(110*second) - c.wall(first); span != 11*second {
		t.Errorf("the span over the step is %d s", span/second)
	}
	mono, wall = mono+second, wall-7200*second // and back by two hours
	c.tick()
	if got := c.wall(mono); got != wall {
		t.Errorf("now is %d, want %d", got, wall)
	}
}

func TestClockIsMonotonicFromZero(t *testing.T) {
	c := newClock()
	before := c.mono
	if now := c.tick(); now < before || now > int64(time.Minute) {
		t.Errorf("the clock went from %d to %d", before, now)
	}
	if wall := c.wall(c.mono); time.Since(time.Unix(0, wall)).Abs() > time.Minute {
		t.Errorf("the wall time is %v", time.Unix(0, wall))
	}
}
