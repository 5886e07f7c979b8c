package sensor

import (
	"os"
	"testing"
	"time"
)

func TestPictureFitsItsScreen(t *testing.T) {
	for _, c := range []struct {
		picture       string
		rows, columns int
		want          string
	}{
		{"one\ntwo\n", 5, 10, "one\x1b[K\ntwo\x1b[K"},
		{"one\ntwo\nthree\n", 2, 10, "one\x1b[K\ntwo\x1b[K"},
		{"longer than that\nx\n", 5, 6, "longer\nx\x1b[K"},
	} {
		if got := string(fit([]byte(c.picture), c.rows, c.columns)); got != c.want {
			t.Errorf("%q in %d x %d: %q, want %q", c.picture, c.rows, c.columns, got, c.want)
		}
	}
}

func TestFileIsNoScreen(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if NewScreen(f) != nil {
		t.Error("a file passes for a terminal")
	}
}

func TestStatusLineGivesRates(t *testing.T) {
	var l statusLine
	now := time.Unix(1000, 0)
	if _, known := l.rates(now, 1000, 50_000); known {
		t.Error("a rate of nothing")
	}
	if r, known := l.rates(now.Add(2*time.Second), 3000, 60_000); !known || r[0] != 1000 || r[1] != 5000 {
		t.Errorf("got %v, %v", r, known)
	}
	if _, known := l.rates(now.Add(2*time.Second), 4000, 60_000); known {
		t.Error("a rate over no time")
	}
}
