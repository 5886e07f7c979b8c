package doctor

import "fmt"

// State is what a check came to. They are in the order of their weight.
type State uint8

// The states.
const (
	OK      State = iota
	Skipped       // it could not be judged, or does not apply
	Warning       // it works, but not as well as it could, or not for ever
	Problem       // it does not work, or loses something
	states
)

var stateNames = [states]string{"ok", "skipped", "warning", "problem"}

func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText gives the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Result is what one check found.
type Result struct {
	Check   string `json:"check"`
	Subject string `json:"subject,omitempty"` // which of several: an interface, a file, a collector
	State   State  `json:"state"`
	What    string `json:"what"`         // one line
	Do      string `json:"do,omitempty"` // one line; nothing where all is well
}

func well(format string, args ...any) Result {
	return Result{State: OK, What: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Result {
	return Result{State: Skipped, What: fmt.Sprintf(format, args...)}
}

func warning(format string, args ...any) Result {
	return Result{State: Warning, What: fmt.Sprintf(format, args...)}
}

func problem(format string, args ...any) Result {
	return Result{State: Problem, What: fmt.Sprintf(format, args...)}
}

// do adds what to do.
func (r Result) do(format string, args ...any) Result {
	r.Do = fmt.Sprintf(format, args...)
	return r
}

// of adds which of several it is.
func (r Result) of(subject string) Result {
	r.Subject = subject
	return r
}
