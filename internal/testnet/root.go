package testnet

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// RequireRoot skips the test where network namespaces cannot be made, and fails it instead where FLOWSENSOR_CI is 1: a
// check that CI skips is not a check.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	err := onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	switch {
	case err == nil:
	case os.Getenv("FLOWSENSOR_CI") == "1":
		tb.Fatalf("cannot make a network namespace (%v), and FLOWSENSOR_CI=1 lets no privileged test be skipped: run as root", err)
	default:
		tb.Skipf("needs root for network namespaces (%v): run 'sudo -E make test'", err)
	}
}
