// Package testgate leaves tests out on machines that lack what they need, and lets them fail where FLOWSENSOR_CI is 1: a check
// that CI skips is not a check.
package testgate

import (
	"fmt"
	"os"
	"testing"
)

// Skip ends the test. why, printed as by fmt.Sprint, says what the machine lacks and how it gets that.
func Skip(tb testing.TB, why ...any) {
	tb.Helper()
	if os.Getenv("FLOWSENSOR_CI") == "1" {
		tb.Fatal(fmt.Sprint(why...) + "; FLOWSENSOR_CI=1 lets nothing be skipped for that")
	}
	tb.Skip(why...)
}

// Skipf is Skip with a format.
func Skipf(tb testing.TB, format string, args ...any) {
	tb.Helper()
	Skip(tb, fmt.Sprintf(format, args...))
}
