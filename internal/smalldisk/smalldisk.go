// Package smalldisk gives tests file systems that they can fill.
package smalldisk

import (
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/testgate"
)

// Mount mounts an empty file system in memory for the time of the test and gives its directory. Size is as in tmpfs(5), such as
// "2m". It needs CAP_SYS_ADMIN; without it the test is skipped, and in CI fails.
func Mount(tb testing.TB, size string) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		const remedy = "needs root (CAP_SYS_ADMIN) to mount a small tmpfs; run the tests with sudo"
		testgate.Skipf(tb, "%s: %v", remedy, err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			tb.Error(err)
		}
	})
	return dir
}
