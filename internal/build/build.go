// Package build says which build this is: the version set by the Makefile and what the Go toolchain recorded.
package build

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker (-X flowsensor/internal/build.version=...); a build without it says so.
var version = "0.0.0-devel"

// Version is the release's version, Debian and RPM style (1.2.3, 1.2.3~rc1).
func Version() string { return version }

// Info is one line for `version`, the log and bug reports: version, commit where known, toolchain and platform.
func Info(program string) string {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				commit = " (" + s.Value[:12] + ")"
			}
		}
	}
	return fmt.Sprintf("%s %s%s %s %s/%s", program, version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
