package status_test

import (
	"strings"
	"testing"
	"time"

	"flowsensor/internal/status"
)

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1 000", 12345678: "12 345 678"} {
		if got := status.Count(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for v, want := range map[float64]string{
		0: "0", 0.4: "0", 999: "999", 999.6: "1.00k", 1234: "1.23k", 9996: "10.0k", 99960: "100k", 123456: "123k", 999600: "1.00M", 2.5e9: "2.50G", 1e18: "1000P",
	} {
		if got := status.Scaled(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 120 * time.Millisecond: "120ms", 41 * time.Second: "41s", 125 * time.Second: "2m5s",
		7500 * time.Second: "2h5m", 76 * time.Hour: "3d4h",
	} {
		if got := status.Age(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := status.Counts(map[string]uint64{"b": 1000, "a": 2, "c": 0}); got != "a 2, b 1 000" {
		t.Error(got)
	}
	if got := status.Counts(nil); got != "none" {
		t.Error(got)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := status.Table(&out, [][]string{{"NAME", "N"}, {"", "1"}, {"long name", "22"}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME       N\n-          1\nlong name  22\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestSocketOfConfiguration(t *testing.T) {
	for value, good := range map[string]bool{
		"": true, "auto": true, "/run/x/s": true, "s": false, "./s": false, "/" + strings.Repeat("x", 110): false,
	} {
		if err := status.ValidSocket(value); (err == nil) != good {
			t.Errorf("%q: %v", value, err)
		}
	}
}
