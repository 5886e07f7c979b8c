package export_test

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestClockOff: 30 s off is refused, with the offset named to both sides; when it is mended, everything goes through.
func TestClockOff(t *testing.T) {
	for name, offset := range map[string]time.Duration{"behind": -30 * time.Second, "ahead": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := newKey(t)
			f := newFar(t, key)
			clock := &shiftedClock{}
			cfg := spooling(f.addr.String(), key, t.TempDir())
			cfg.Clock = clock.Now
			log := &syncBuffer{}
			s := runLogged(t, cfg, log)
			b := s.Batcher("eth0")
			added := feed(b, 0, 2000)
			eventually(t, "first", func() bool { b.Flush(time.Now().UnixNano()); return s.Stats().Acked == added })
			clock.shift(offset)
			added = added.Plus(feed(b, 10_000, 3000))
			b.Close()
			eventually(t, "offset", func() bool { return (s.Stats().ClockOffset - offset).Abs() < 2*time.Second })
			eventually(t, "probe", func() bool { return s.Stats().Probes > 0 })
			sent := s.Stats().Datagrams
			time.Sleep(700 * time.Millisecond)
			if more := s.Stats().Datagrams - sent; more > 0 || !s.Stats().Held {
				t.Errorf("%d datagrams under a clock that is refused", more)
			}
			if !strings.Contains(log.String(), "clock_offset=") || !strings.Contains(f.log.String(), "clock_offset=") {
				t.Error("the offset is not named on both sides")
			}
			clock.shift(0)
			delivered(t, s, f, added)
			if s.Stats().ClockOffset != 0 || !strings.Contains(log.String(), "takes this sensor's clock again") {
				t.Error("not resumed in the log")
			}
		})
	}
}

// shiftedClock is the wall clock, off by what a test says.
type shiftedClock struct {
	mu sync.Mutex
	by time.Duration // protected by mu
}

func (c *shiftedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *shiftedClock) shift(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by = by
}
