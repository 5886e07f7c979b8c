package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/smalldisk"
	"flowsensor/internal/store"
	"flowsensor/internal/store/files"
)

func asError(t *testing.T, err error) *store.Error {
	t.Helper()
	e, ok := errors.AsType[*store.Error](err)
	if !ok {
		t.Fatalf("%T is no *store.Error: %v", err, err)
	}
	return e
}

// TestDiskFull: what was reported as written is there whole, what was not leaves no trace, and room made is used.
func TestDiskFull(t *testing.T) {
	for name, compression := range map[string]files.Compression{"plain": files.None, "gzip": files.Gzip} {
		t.Run(name, func(t *testing.T) { diskFull(t, compression) })
	}
}

func diskFull(t *testing.T, compression files.Compression) {
	t.Helper()
	cfg := config(smalldisk.Mount(t, "64k"))
	cfg.MaxSize, cfg.MaxTotal, cfg.Compression = 16384, 0, compression
	balloon := filepath.Join(cfg.Dir, "balloon")
	if err := os.WriteFile(balloon, make([]byte, 24<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w := open(t, cfg)
	n := writeUntilFull(t, w)
	if err := w.Check(t.Context()); compression == files.None && asError(t, err).Class != store.Temporary {
		t.Error("the check finds nothing:", err)
	}
	if err := os.Remove(balloon); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		write(t, w, lines(n, n+7))
		n += 7
	}
	closed(t, w)
	expect(t, cfg.Dir, 0, n)
	if s := w.Stats(); s.Failures < 5 {
		t.Errorf("%+v", s)
	}
}

// writeUntilFull gives the number of lines that were taken before the fifth failure.
func writeUntilFull(t *testing.T, w *files.Writer) int {
	t.Helper()
	n := 0
	for failures := 0; failures < 5; {
		err := w.Write(t.Context(), lines(n, n+7))
		if err == nil {
			n += 7
			continue
		}
		failures++
		e := asError(t, err)
		if e.Class != store.Temporary || !errors.Is(e, syscall.ENOSPC) || !strings.Contains(e.Remedy, "make room") {
			t.Fatalf("%s: %v, %s", e.Class, e, e.Remedy)
		}
	}
	return n
}

func TestReadOnly(t *testing.T) {
	dir := smalldisk.Mount(t, "64k")
	w := open(t, config(dir))
	// A second mount of the same folder is what can be made read-only while the lock is open for writing.
	if err := errors.Join(unix.Mount(dir, dir, "", unix.MS_BIND, ""), unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	e := asError(t, w.Write(t.Context(), lines(1, 2)))
	if e.Class != store.Configuration || !strings.Contains(e.Remedy, "let the service write") {
		t.Errorf("%s: %v, %s", e.Class, e, e.Remedy)
	}
	if e := asError(t, w.Check(t.Context())); e.Class != store.Configuration {
		t.Errorf("%s: %v", e.Class, e)
	}
}

// TestDirectoryVanishes: somebody moves the whole directory away; what is written then goes on in a new file there once
// the directory is back, and until then it is an error.
func TestDirectoryVanishes(t *testing.T) {
	cfg := config(filepath.Join(t.TempDir(), "flows"))
	cfg.MaxSize = 4096
	w := open(t, cfg)
	if err := os.RemoveAll(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Check(t.Context()); err == nil {
		t.Error("the check finds nothing")
	}
	if e := asError(t, w.Write(t.Context(), lines(0, 1))); e.Class != store.Temporary {
		t.Errorf("%s: %v", e.Class, e)
	}
	if err := os.Mkdir(cfg.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
	write(t, w, lines(0, 1))
	closed(t, w)
	expect(t, cfg.Dir, 0, 1)
}

// TestFileVanishes: when somebody takes the growing file away, what comes next goes into a new one, and none is lost.
func TestFileVanishes(t *testing.T) {
	cfg := config(t.TempDir())
	w := open(t, cfg)
	write(t, w, lines(0, 1))
	taken := filepath.Join(t.TempDir(), "taken.lp")
	if err := os.Rename(filepath.Join(cfg.Dir, names(t, cfg.Dir)[0]), taken); err != nil {
		t.Fatal(err)
	}
	write(t, w, lines(1, 2))
	expect(t, cfg.Dir, 1, 2)
	if err := os.Remove(filepath.Join(cfg.Dir, names(t, cfg.Dir)[0])); err != nil {
		t.Fatal(err)
	}
	write(t, w, lines(2, 3))
	closed(t, w)
	expect(t, cfg.Dir, 2, 3)
	if text, err := os.ReadFile(taken); err != nil || string(text) != head+string(lines(0, 1).Bytes()) {
		t.Errorf("%q, %v", text, err)
	}
	if s := w.Stats(); s.Failures != 2 {
		t.Errorf("%+v", s)
	}
}
