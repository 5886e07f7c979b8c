package build_test

import (
	"runtime"
	"strings"
	"testing"

	"flowsensor/internal/build"
)

func TestInfoNamesProgramVersionAndPlatform(t *testing.T) {
	got := build.Info("flow-sensor")
	for _, want := range []string{"flow-sensor ", build.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}
