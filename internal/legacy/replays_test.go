package legacy

import (
	"encoding/binary"
	"testing"

	"flowsensor/internal/seal"
)

// The memory is bounded: what does not fit is refused, and there is room again once what is remembered is too old.
func TestReplaysAreBounded(t *testing.T) {
	var r replays
	mac := func(n int) (m seal.MAC) {
		binary.BigEndian.PutUint64(m[:], uint64(n))
		return m
	}
	for n := range maxReplays {
		if got := r.take(mac(n), int64(100+n%5), 100); got != ReasonOK {
			t.Fatalf("token %d: %s", n, got)
		}
	}
	if got := r.take(mac(maxReplays), 104, 100); got != ReasonReplayFull {
		t.Errorf("one more: %s", got)
	}
	if got := r.take(mac(7), 102, 100); got != ReasonReplayed {
		t.Errorf("a copy: %s", got)
	}
	if got := r.take(mac(0), 100, 100+replayMargin); got != ReasonReplayed {
		t.Errorf("a copy within the margin: %s", got)
	}
	if got := r.take(mac(maxReplays), 200, 105+replayMargin); got != ReasonOK || r.count != 1 || len(r.taken) != 1 {
		t.Errorf("after all are too old: %s, %d remembered", got, r.count)
	}
}
