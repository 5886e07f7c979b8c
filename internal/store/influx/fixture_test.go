package influx_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func secret(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, cfg influx.Config) *influx.Writer {
	t.Helper()
	w, err := influx.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func lines(text string) store.Lines {
	var l store.Lines
	for line := range strings.Lines(text) {
		l.Append([]byte(line), store.Count{Records: 1, Packets: 1, Bytes: 1})
	}
	return l
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
