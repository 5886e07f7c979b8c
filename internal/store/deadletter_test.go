package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowsensor/internal/store"
)

func openDead(t *testing.T, path string, size int64) *store.DeadLetters {
	t.Helper()
	d, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: path, MaxSize: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestDeadLettersAreLineProtocol(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "letters.lp")
	d := openDead(t, path, 1<<20)
	for range 2 {
		err := d.Append(store.Letter{Why: store.DeadTypeConflict, Cause: "field \"v\"\nm v=1i 1\xff\n" + strings.Repeat("x", 1000), Lines: numbered(3)})
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != 8 {
		t.Errorf("%d lines, want two heads and six points:\n%s", n, text)
	}
	if !strings.Contains(string(text), " reason=type_conflict lines=3 records=3 packets=6 bytes=3 cause=\"field \\\"v\\\"\\nm v=1i 1\\xff\\n") {
		t.Errorf("%s", text)
	}
	if d.Size() != int64(len(text)) {
		t.Errorf("size %d, file has %d", d.Size(), len(text))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("mode %v, %v: flows are nobody else's business", info.Mode(), err)
	}
}

func TestDeadLettersCutTornLine(t *testing.T) {
	for content, kept := range map[string]string{
		"":                                     "",
		"# torn":                               "",
		"# a\nm v=1i 1\n":                      "# a\nm v=1i 1\n",
		"# a\nm v=1i 1\nm v":                   "# a\nm v=1i 1\n",
		"# a\n" + strings.Repeat("x", 200_000): "# a\n",
	} {
		path := filepath.Join(t.TempDir(), "letters.lp")
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		d := openDead(t, path, 1<<20)
		if got, err := os.ReadFile(path); err != nil || string(got) != kept || d.Size() != int64(len(kept)) {
			t.Errorf("%.20q became %.20q, %v, size %d", content, got, err, d.Size())
		}
		if err := d.Append(store.Letter{Lines: numbered(1)}); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), kept+"# 2") || !strings.HasSuffix(string(got), "m v=0i\n") {
			t.Errorf("%.20q: then %.80q", content, got)
		}
	}
}

func TestDeadLettersAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letters.lp")
	d := openDead(t, path, 4096)
	var err error
	n := 0
	for ; err == nil; n++ {
		err = d.Append(store.Letter{Lines: numbered(10)})
	}
	if !errors.Is(err, store.ErrDeadLettersFull) || d.Size() > 4096 || n < 10 {
		t.Errorf("after %d letters: %v, size %d", n, err, d.Size())
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Append(store.Letter{Lines: numbered(10)}); err != nil {
		t.Error("after the file was emptied:", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Append(store.Letter{Lines: numbered(10)}); err != nil {
		t.Error("after the file was removed:", err)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Count(string(text), "\n") != 11 {
		t.Errorf("%q, %v", text, err)
	}
}

func TestDeadLettersFailure(t *testing.T) {
	if _, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: t.TempDir(), MaxSize: 1 << 20}); err == nil {
		t.Error("a folder is no file")
	}
	if _, err := store.OpenDeadLetters(store.DeadLetterConfig{MaxSize: 1 << 20}); err == nil {
		t.Error("no path is no error")
	}
	dir := filepath.Join(t.TempDir(), "gone")
	d := openDead(t, filepath.Join(dir, "letters.lp"), 1<<20)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o640); err != nil { // a file where the folder was
		t.Fatal(err)
	}
	if err := d.Append(store.Letter{Lines: numbered(1)}); err == nil {
		t.Error("written into nowhere")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Append(store.Letter{Lines: numbered(1)}); err != nil {
		t.Error("not recovered:", err)
	}
}

// What is longer than the whole file may be must not wait for room that there never is.
func TestDeadLetterLongerThanTheFile(t *testing.T) {
	d := openDead(t, filepath.Join(t.TempDir(), "letters.lp"), 4096)
	long := store.Letter{Why: store.DeadTypeConflict, Cause: "c", Lines: numbered(500)}
	if n := len(long.Lines.Bytes()); n <= 4096 {
		t.Fatalf("the letter has %d octets", n)
	}
	if err := d.Append(long); err != nil {
		t.Fatal(err)
	}
	if err := d.Append(long); !errors.Is(err, store.ErrDeadLettersFull) {
		t.Errorf("a second one: %v", err)
	}
	if err := os.Rename(d.Path(), d.Path()+".seen"); err != nil {
		t.Fatal(err)
	}
	if err := d.Append(long); err != nil {
		t.Errorf("after it was moved away, as the remedy says: %v", err)
	}
}
