package files_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/store"
	"flowsensor/internal/store/files"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const head = "# DML\n# CONTEXT-DATABASE: flows\n"

func config(dir string) files.Config {
	cfg := files.DefaultConfig()
	cfg.Dir = dir
	return cfg
}

func open(t *testing.T, cfg files.Config) *files.Writer {
	t.Helper()
	w, err := files.Open(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func closed(t *testing.T, w *files.Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// lines are numbered from a to b, 100 bytes each.
func lines(a, b int) store.Lines {
	var l store.Lines
	for i := a; i < b; i++ {
		line := fmt.Sprintf("flow,iface=eth0 n=%di,pad=\"", i)
		line += strings.Repeat("x", 80-len(line)) + "\" 1700000000000" + fmt.Sprintf("%06d", i)
		l.Append([]byte(line[:99]+"\n"), store.Count{Records: 1})
	}
	return l
}

func write(t *testing.T, w *files.Writer, l store.Lines) {
	t.Helper()
	if err := w.Write(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// names gives our files in the directory, in their order.
func names(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range found {
		if f.Name() != ".lock" {
			list = append(list, f.Name())
		}
	}
	return list
}

// content joins the lines of all files and checks that each begins with its head.
func content(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range names(t, dir) {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		r := io.Reader(f)
		if strings.HasSuffix(name, ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(name, err)
		}
		_ = f.Close()
		body, ok := strings.CutPrefix(string(text), head)
		if !ok {
			t.Errorf("%s begins %.60q", name, text)
		}
		all.WriteString(body)
	}
	return all.String()
}

func expect(t *testing.T, dir string, a, b int) {
	t.Helper()
	if got, l := content(t, dir), lines(a, b); got != string(l.Bytes()) {
		t.Errorf("%d lines in the files, want %d", strings.Count(got, "\n"), b-a)
	}
}

func TestFileGrowsAndIsCompleted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "flows")
	w := open(t, config(dir))
	if len(names(t, dir)) != 0 {
		t.Errorf("before the first line: %v", names(t, dir))
	}
	write(t, w, lines(0, 10))
	write(t, w, lines(10, 20))
	expect(t, dir, 0, 20)
	if n := names(t, dir); len(n) != 1 || !strings.HasPrefix(n[0], "flows-2") || !strings.HasSuffix(n[0], "Z-000001.lp.part") {
		t.Errorf("while it grows: %v", n)
	}
	if s := w.Stats(); s.CurrentSize != int64(len(head)+2000) || s.Completed != 0 {
		t.Errorf("%+v", s)
	}
	closed(t, w)
	closed(t, w)
	expect(t, dir, 0, 20)
	if n := names(t, dir); len(n) != 1 || !strings.HasSuffix(n[0], "Z-000001.lp") {
		t.Errorf("at the end: %v", n)
	}
	if err := w.Write(t.Context(), lines(0, 1)); !errors.Is(err, os.ErrClosed) {
		t.Error("written after Close:", err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o750, filepath.Join(dir, names(t, dir)[0]): 0o640} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^mode != 0 {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
	}
}

func TestRotationBySize(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.MaxSize = 4096
	w := open(t, cfg)
	for i := range 20 {
		write(t, w, lines(i*10, i*10+10))
	}
	write(t, w, lines(200, 300)) // more than a file may hold is a file of its own
	closed(t, w)
	expect(t, cfg.Dir, 0, 300)
	list := names(t, cfg.Dir)
	for _, name := range list[:len(list)-1] {
		if info, err := os.Stat(filepath.Join(cfg.Dir, name)); err != nil || info.Size() > 4096 {
			t.Errorf("%s: %d bytes, %v", name, info.Size(), err)
		}
	}
	if s := w.Stats(); len(list) != 6 || s.Completed != 6 || !slices.IsSorted(list) {
		t.Errorf("%v, %+v", list, s)
	}
}

func TestRotationByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t.TempDir())
		cfg.MaxAge = 10 * time.Minute
		w := open(t, cfg)
		write(t, w, lines(0, 1))
		time.Sleep(9 * time.Minute)
		write(t, w, lines(1, 2))
		time.Sleep(90 * time.Second) // nothing is written any more, yet the file is completed
		synctest.Wait()
		if n := names(t, cfg.Dir); len(n) != 1 || n[0] != "flows-20000101T000000Z-000001.lp" {
			t.Error(n)
		}
		write(t, w, lines(2, 3))
		closed(t, w)
		if n := names(t, cfg.Dir); len(n) != 2 || n[1] != "flows-20000101T001030Z-000002.lp" {
			t.Error(n)
		}
		expect(t, cfg.Dir, 0, 3)
	})
}

func TestCompression(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.MaxSize, cfg.Compression = 4096, files.Gzip
	w := open(t, cfg)
	for i := range 20 {
		write(t, w, lines(i*10, i*10+10))
	}
	closed(t, w)
	expect(t, cfg.Dir, 0, 200)
	for _, name := range names(t, cfg.Dir) {
		if !strings.HasSuffix(name, ".lp.gz") {
			t.Error(name)
		}
	}
}

func TestRetention(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.MaxSize, cfg.MaxTotal = 4096, 10_000
	w := open(t, cfg)
	for i := range 100 {
		write(t, w, lines(i*10, i*10+10))
	}
	closed(t, w)
	list := names(t, cfg.Dir)
	got, s := content(t, cfg.Dir), w.Stats()
	kept := strings.Count(got, "\n")
	if kept < 60 || kept > 100 || !strings.HasSuffix(got, string(lines(999, 1000).Bytes())) {
		t.Errorf("%d lines kept in %v", kept, list)
	}
	if s.Removed != s.Completed-uint64(len(list)) || s.RemovedBytes < s.Removed*3000 {
		t.Errorf("%+v with %v", s, list)
	}
	expect(t, cfg.Dir, 1000-kept, 1000)
}

func TestNothingIsRemovedUnasked(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.MaxSize, cfg.MaxTotal = 4096, 0
	foreign := filepath.Join(cfg.Dir, "aaa.lp")
	if err := os.WriteFile(foreign, []byte(head), 0o640); err != nil {
		t.Fatal(err)
	}
	w := open(t, cfg)
	for i := range 50 {
		write(t, w, lines(i*10, i*10+10))
	}
	closed(t, w)
	expect(t, cfg.Dir, 0, 500)
	cfg.MaxTotal = 8192
	closed(t, open(t, cfg))
	if n := names(t, cfg.Dir); n[0] != "aaa.lp" || len(n) > 4 {
		t.Error(n)
	}
}

// TestRecovery is the start after a crash: whole lines count, the torn one is cut, half-made copies go, names stay unique.
func TestRecovery(t *testing.T) {
	for name, c := range map[string]struct {
		before map[string]string
		keep   int // lines
		list   []string
	}{
		"torn line": {
			map[string]string{"flows-20200101T000000Z-000004.lp.part": head + string(lines(0, 5).Bytes()[:455])},
			4,
			[]string{"flows-20200101T000000Z-000004.lp"},
		},
		"clean end": {
			map[string]string{"flows-20200101T000000Z-000004.lp.part": head + string(lines(0, 5).Bytes())},
			5,
			[]string{"flows-20200101T000000Z-000004.lp"},
		},
		"head alone":     {map[string]string{"flows-20200101T000000Z-000004.lp.part": head}, 0, nil},
		"torn head":      {map[string]string{"flows-20200101T000000Z-000004.lp.part": head[:9]}, 0, nil},
		"nothing":        {map[string]string{"flows-20200101T000000Z-000004.lp.part": ""}, 0, nil},
		"first torn":     {map[string]string{"flows-20200101T000000Z-000004.lp.part": head + "flow,"}, 0, nil},
		"several":        {map[string]string{"flows-20200101T000000Z-000001.lp.part": head + string(lines(0, 2).Bytes()), "flows-20200101T000000Z-000002.lp.part": head + string(lines(2, 4).Bytes())}, 4, []string{"flows-20200101T000000Z-000001.lp", "flows-20200101T000000Z-000002.lp"}},
		"half a copy":    {map[string]string{"flows-20200101T000000Z-000001.lp": head + string(lines(0, 2).Bytes()), "flows-20200101T000000Z-000001.lp.gz.tmp": "\x1f\x8b"}, 2, []string{"flows-20200101T000000Z-000001.lp"}},
		"odd names":      {map[string]string{"flows-x.lp": head, "flows--.lp.part": head + string(lines(0, 1).Bytes())}, 1, []string{"flows--.lp", "flows-x.lp"}},
		"NUL from crash": {map[string]string{"flows-20200101T000000Z-000004.lp.part": head + string(lines(0, 2).Bytes()) + strings.Repeat("\x00", 5000)}, 2, []string{"flows-20200101T000000Z-000004.lp"}},
	} {
		cfg := config(t.TempDir())
		for file, text := range c.before {
			if err := os.WriteFile(filepath.Join(cfg.Dir, file), []byte(text), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		w := open(t, cfg)
		if got := names(t, cfg.Dir); !slices.Equal(got, c.list) {
			t.Errorf("%s: %v", name, got)
		}
		expect(t, cfg.Dir, 0, c.keep)
		write(t, w, lines(c.keep, c.keep+3))
		closed(t, w)
		if got := names(t, cfg.Dir); len(got) != len(c.list)+1 {
			t.Errorf("%s: then %v", name, got)
		}
	}
}

// TestNamesAreUnique: a process that starts in the second in which the last one ended overwrites nothing.
func TestNamesAreUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for i := range 5 {
			w := open(t, config(dir))
			write(t, w, lines(i, i+1))
			closed(t, w)
		}
		expect(t, dir, 0, 5)
		if n := names(t, dir); len(n) != 5 {
			t.Error(n)
		}
	})
}

func TestOneProcessPerDirectory(t *testing.T) {
	cfg := config(t.TempDir())
	w := open(t, cfg)
	if _, err := files.Open(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "in use by another collector") {
		t.Error(err)
	}
	closed(t, w)
	closed(t, open(t, cfg))
}

func TestManyWriters(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.MaxSize, cfg.Compression = 8192, files.Gzip
	w := open(t, cfg)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 20 {
				n := (i*20 + j) * 5
				if err := w.Write(t.Context(), lines(n, n+5)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	closed(t, w)
	got := slices.Sorted(strings.Lines(content(t, cfg.Dir)))
	if want := lines(0, 800); !slices.Equal(got, slices.Sorted(strings.Lines(string(want.Bytes())))) {
		t.Errorf("%d lines", len(got))
	}
}

func TestConfigValidate(t *testing.T) {
	if err := config("/x").Validate(); err != nil {
		t.Error("the defaults:", err)
	}
	for part, spoil := range map[string]func(*files.Config){
		"directory: must name": func(c *files.Config) { c.Dir = "" },
		"max_size":             func(c *files.Config) { c.MaxSize = 100 },
		"max_age":              func(c *files.Config) { c.MaxAge = 0 },
		"max_total":            func(c *files.Config) { c.MaxTotal = c.MaxSize },
		"compression":          func(c *files.Config) { c.Compression = 7 },
		"database":             func(c *files.Config) { c.Database = "a\nb" },
	} {
		c := config(t.TempDir())
		spoil(&c)
		if _, err := files.Open(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// Files that were named by a clock that was years ahead are older than those of now, and are the ones that make room.
func TestPruneAfterTheClockWasWrong(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.MaxSize, cfg.MaxTotal = 4096, 10_000
	for n := range 3 {
		name := fmt.Sprintf("flows-20990101T00000%dZ-%06d.lp", n, n+1)
		if err := os.WriteFile(filepath.Join(cfg.Dir, name), []byte(head+string(lines(0, 30).Bytes())), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	w := open(t, cfg)
	for i := range 20 {
		write(t, w, lines(i*10, i*10+10))
	}
	closed(t, w)
	for _, name := range names(t, cfg.Dir) {
		if strings.HasPrefix(name, "flows-2099") {
			t.Errorf("%s is left of %v", name, names(t, cfg.Dir))
		}
	}
	if got := content(t, cfg.Dir); !strings.Contains(got, string(lines(150, 200).Bytes())) {
		t.Errorf("the newest lines are gone: %d octets are left", len(got))
	}
}
