package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"flowsensor/internal/build"
	"flowsensor/internal/daemon"
)

// reportVersion is that of the JSON report: names and states keep their meaning while it stays.
const reportVersion = 1

// Summary counts the results by their state.
type Summary struct {
	OK       int `json:"ok"`
	Skipped  int `json:"skipped"`
	Warnings int `json:"warnings"`
	Problems int `json:"problems"`
}

// Summarise counts.
func Summarise(results []Result) (s Summary) {
	for _, r := range results {
		switch r.State {
		case OK:
			s.OK++
		case Skipped:
			s.Skipped++
		case Warning:
			s.Warnings++
		case Problem:
			s.Problems++
		case states:
		}
	}
	return s
}

// String is the last line of a report.
func (s Summary) String() string {
	return fmt.Sprintf("problems: %d, warnings: %d, well: %d, skipped: %d", s.Problems, s.Warnings, s.OK, s.Skipped)
}

// Verdict is what the exit status comes from: nil where nothing is as bad as least, an error of the configuration where
// that is what is wrong.
func Verdict(results []Result, least State) error {
	s := Summarise(results)
	err := errors.New("not all is well")
	if len(results) > 0 && results[0].Check == "configuration" && results[0].State == Problem {
		return daemon.ConfigError{Err: err}
	}
	if s.Problems > 0 || s.Warnings > 0 && least <= Warning {
		return err
	}
	return nil
}

// Write prints a report for people: a line for each result, and below it what to do.
func Write(out io.Writer, results []Result) error {
	var text strings.Builder
	for _, r := range results {
		name := r.Check
		if r.Subject != "" {
			name += " " + r.Subject
		}
		fmt.Fprintf(&text, "%-8s %s: %s\n", r.State, name, r.What)
		if r.Do != "" {
			fmt.Fprintf(&text, "%-8s -> %s\n", "", r.Do)
		}
	}
	fmt.Fprintln(&text, Summarise(results))
	_, err := io.WriteString(out, text.String())
	return err
}

// WriteJSON prints a report for programs.
func WriteJSON(out io.Writer, results []Result) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Version int      `json:"version"`
		Build   string   `json:"build"`
		Summary Summary  `json:"summary"`
		Checks  []Result `json:"checks"`
	}{reportVersion, build.Version(), Summarise(results), results})
}
