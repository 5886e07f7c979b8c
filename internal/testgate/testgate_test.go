package testgate_test

import (
	"strings"
	"testing"

	"flowsensor/internal/testgate"
)

// recorder is a test that writes down how it ended.
type recorder struct {
	testing.TB

	skipped, failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Skip(args ...any) { r.skipped = args[0].(string) }

func (r *recorder) Fatal(args ...any) {
	r.failed = args[0].(string)
	panic(r)
}

func TestSkip(t *testing.T) {
	var r recorder
	t.Setenv("FLOWSENSOR_CI", "")
	testgate.Skipf(&r, "no %s", "tun")
	if r.skipped != "no tun" || r.failed != "" {
		t.Errorf("%+v", r)
	}
}

func TestNothingIsSkippedInCI(t *testing.T) {
	var r recorder
	t.Setenv("FLOWSENSOR_CI", "1")
	func() {
		defer func() { _ = recover() }()
		testgate.Skip(&r, "no tun")
	}()
	if r.skipped != "" || !strings.Contains(r.failed, "no tun") {
		t.Errorf("%+v", r)
	}
}
