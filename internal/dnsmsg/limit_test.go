package dnsmsg_test

import (
	"testing"
	"time"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
)

func TestFailureLimit(t *testing.T) {
	const ms = int64(time.Millisecond)
	l := dnsmsg.FailureLimit{PerSecond: 2}
	failed := flow.DNSAnswer{RCode: 3}
	for i, c := range []struct {
		at   int64
		want bool
	}{
		{5900 * ms, true},
		{5950 * ms, true},
		{6000 * ms, false},
		{6899 * ms, false},
		{6900 * ms, true},
		{6901 * ms, true},
		{7000 * ms, false},
		{100 * ms, true}, // of a clock that was set back
	} {
		if got := l.Pass(&failed, c.at); got != c.want {
			t.Errorf("failure %d at %d: passed %v", i, c.at, got)
		}
	}
	if good := (flow.DNSAnswer{Addresses: make([]flow.DNSAddress, 1)}); !l.Pass(&good, 101*ms) || !l.Pass(&good, 102*ms) {
		t.Error("an answer with an address is no failure")
	}
}
