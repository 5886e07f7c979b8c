package testnet

import (
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/testgate"
)

// RequireRoot skips the test where network namespaces cannot be made, as testgate does.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	err := onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	if err != nil {
		testgate.Skipf(tb, "needs root for network namespaces (%v): run 'sudo -E make test'", err)
	}
}
