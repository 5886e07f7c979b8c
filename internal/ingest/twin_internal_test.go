package ingest

import (
	"testing"
	"time"

	"flowsensor/internal/wire"
)

// A copied machine sends under the id and the key of the one it was copied from. That is told, a restart is not.
func TestTwins(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct {
		old  time.Duration // after the second process began, the first one sends
		want uint64
	}{
		"restart, one late on the way": {2 * time.Second, 0},
		"both go on":                   {twinAfter + time.Second, 1},
	} {
		s := &sensor{id: "edge-1"}
		hear := func(boot, tx uint64, at time.Time) (told bool) {
			reason, twin := s.sequence(&wire.Header{Boot: boot, TX: tx}, at, &sender{})
			if reason != ReasonAccepted {
				t.Fatal(name, reason)
			}
			return twin && s.tellTwin(at, time.Minute)
		}
		hear(1, 1, begin)
		hear(1, 2, begin.Add(24*time.Hour))
		hear(2, 1, begin.Add(25*time.Hour))
		at := begin.Add(25*time.Hour + c.old)
		if told := hear(1, 3, at); told != (c.want > 0) || s.stats().Twins != c.want {
			t.Errorf("%s: told %v, %d datagrams counted, want %d", name, told, s.stats().Twins, c.want)
		}
		if hear(1, 4, at.Add(time.Second)) {
			t.Errorf("%s: told again within the minute", name)
		}
		if c.want > 0 && !hear(1, 5, at.Add(time.Minute)) {
			t.Errorf("%s: not told after a minute", name)
		}
	}
}
