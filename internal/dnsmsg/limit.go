package dnsmsg

import (
	"time"

	"flowsensor/internal/flow"
)

// FailureLimit keeps a flood of questions for names that do not exist from being one of answers to tell of. The zero value
// lets no failure pass. Not safe for concurrent use.
type FailureLimit struct {
	PerSecond int

	second int64 // of the failures that are counted
	passed int
}

// Pass reports whether an answer is to be told of: always where it has an address, otherwise as long as its second, by its
// own time, has room.
func (l *FailureLimit) Pass(a *flow.DNSAnswer) bool {
	if !a.Failed() {
		return true
	}
	if second := a.Time / int64(time.Second); second != l.second {
		l.second, l.passed = second, 0
	}
	if l.passed >= l.PerSecond {
		return false
	}
	l.passed++
	return true
}
