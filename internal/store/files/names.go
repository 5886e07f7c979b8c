package files

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	prefix  = "flows-"
	plain   = ".lp"
	zipped  = ".lp.gz"
	partial = ".part" // of a file that grows
	working = ".tmp"  // of a copy that is being compressed
)

// fileName sorts by time, then by number.
func fileName(at time.Time, n int) string {
	return fmt.Sprintf("%s%s-%06d%s", prefix, at.UTC().Format("20060102T150405Z"), n, plain)
}

// fileNumber is n of a name that fileName made, 0 of any other.
func fileNumber(name string) int {
	_, name, _ = strings.Cut(strings.TrimPrefix(name, prefix), "-")
	digits, _, _ := strings.Cut(name, ".")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// entry is one of our files.
type entry struct {
	name string
	size int64
}

// list gives our files whose names end in one of the suffixes, oldest first.
func list(dir string, suffixes ...string) ([]entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, f := range found {
		ours := strings.HasPrefix(f.Name(), prefix) && f.Type().IsRegular() &&
			slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(f.Name(), s) })
		if !ours {
			continue
		}
		info, err := f.Info()
		if os.IsNotExist(err) { // moved away by somebody since
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: f.Name(), size: info.Size()})
	}
	return entries, nil // os.ReadDir sorts by name
}

func (w *Writer) path(name string) string { return filepath.Join(w.cfg.Dir, name) }
