package sensor

import (
	"os"
	"testing"
)

func TestPictureFitsItsScreen(t *testing.T) {
	for _, c := range []struct {
		picture       string
		rows, columns int
		want          string
	}{
		{"one\ntwo\n", 5, 10, "one\x1b[K\r\ntwo\x1b[K"},
		{"one\ntwo\nthree\n", 2, 10, "one\x1b[K\r\ntwo\x1b[K"},
		{"longer than that\nx\n", 5, 6, "longer\r\nx\x1b[K"},
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
