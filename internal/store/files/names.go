package files

import (
	"cmp"
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

// fileName tells the time and the number, which goes on from file to file and over restarts.
func fileName(at time.Time, n int) string {
	return fmt.Sprintf("%s%s-%06d%s", prefix, at.UTC().Format("20060102T150405Z"), n, plain)
}

// order puts files in the order they were made in, those of other names last.
func order(a, b entry) int {
	n, m := fileNumber(a.name), fileNumber(b.name)
	if n == 0 || m == 0 {
		n, m = -n, -m // 0 is the higher one now
	}
	return cmp.Compare(n, m)
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

// list gives our files whose names end in one of the suffixes, oldest first: by number, for a clock that was wrong may have
// given their times.
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
	slices.SortStableFunc(entries, order) // those of other names stay as os.ReadDir sorts them
	return entries, nil
}

func (w *Writer) path(name string) string { return filepath.Join(w.cfg.Dir, name) }
