package dnsmsg

import (
	"time"

	"flowsensor/internal/flow"
)

// FailureLimit keeps a flood of questions for names that do not exist from being one of answers to tell of. The zero value
// lets no failure pass. Not safe for concurrent use.
type FailureLimit struct {
	PerSecond int

	since  int64 // when the second began that is counted in
	passed int
}

// Pass reports whether an answer is to be told of: always where it has an address, otherwise as long as the second has room that
// began with the first failure in it. at is when it came, in ns: by a clock that whoever sends answers cannot set.
func (l *FailureLimit) Pass(a *flow.DNSAnswer, at int64) bool {
	if !a.Failed() {
		return true
	}
	if age := at - l.since; age < 0 || age >= int64(time.Second) {
		l.since, l.passed = at, 0
	}
	if l.passed >= l.PerSecond {
		return false
	}
	l.passed++
	return true
}
