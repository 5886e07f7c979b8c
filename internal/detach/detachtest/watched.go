// Package detachtest tells tests whether epoll watches a descriptor.
package detachtest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Watched says whether an epoll descriptor of this process watches what fd is of, by this descriptor or another: both have one
// inode (proc_pid_fdinfo(5)).
func Watched(tb testing.TB, fd int) bool {
	tb.Helper()
	var of unix.Stat_t
	if err := unix.Fstat(fd, &of); err != nil {
		tb.Fatal(err)
	}
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil || len(infos) == 0 {
		tb.Fatalf("no descriptors in /proc: %v", err)
	}
	for _, info := range infos {
		text, err := os.ReadFile(info)
		if err != nil {
			continue // it was the one of the listing, or another goroutine's
		}
		for line := range strings.Lines(string(text)) {
			if _, ino, ok := strings.Cut(line, " ino:"); ok && strings.HasPrefix(line, "tfd:") {
				if number, err := strconv.ParseUint(strings.Fields(ino)[0], 16, 64); err != nil {
					tb.Fatalf("%q: %v", line, err)
				} else if number == of.Ino {
					return true
				}
			}
		}
	}
	return false
}
