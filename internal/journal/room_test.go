package journal_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowsensor/internal/journal"
	"flowsensor/internal/smalldisk"
)

// ballast fills the file system of dir until so many octets are left.
func ballast(t *testing.T, dir string, left int64) (remove func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		n := min(int64(st.Bavail)*st.Bsize-left, 64<<10)
		if n <= 0 {
			break
		}
		if _, err := f.Write(make([]byte, n)); err != nil {
			break
		}
	}
	return func() {
		if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
			t.Error(err)
		}
	}
}

// A journal that cannot start for want of room is not damaged: nothing is set aside, and with room it has all it had.
func TestStartWithoutRoom(t *testing.T) {
	for _, left := range []int64{0, 4 << 10, 64 << 10} {
		c := config(t)
		c.Dir = smalldisk.Mount(t, "12m")
		fill(t, c)
		remove := ballast(t, c.Dir, left)
		var log lockedBuffer
		j, err := journal.Open(c, slog.New(slog.NewTextHandler(&log, nil)))
		if err == nil {
			closeJournal(t, j)
		}
		remove()
		if _, err := os.Stat(filepath.Join(c.Dir, "damaged")); err == nil || strings.Contains(log.String(), "set aside") {
			t.Errorf("with %d octets left files were set aside", left)
		}
		d := newDatabase(t)
		j = open(t, c)
		r := readInto(t, j, d)
		await(t, "all rows", func() bool { return d.rows() == 1500 })
		r.drain()
		closeJournal(t, j)
	}
}

// A server that cannot be started again says so once, not each second for as long as the disk is full; and the end of the
// trouble is told when it ends.
func TestFullDiskIsLoggedOnce(t *testing.T) {
	c := config(t)
	c.Dir = smalldisk.Mount(t, "12m")
	var log lockedBuffer
	j, err := journal.Open(c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	r := readInto(t, j, d)
	stop := make(chan struct{})
	sent := pump(a, stop, 10)
	await(t, "rows", func() bool { return d.rows() > 1000 })
	remove := ballast(t, c.Dir, 0)
	const text = "cannot be started again"
	await(t, text, func() bool { return strings.Contains(log.String(), text) })
	quiet := time.After(4 * time.Second)
	<-quiet
	if n := strings.Count(log.String(), text); n != 1 {
		t.Errorf("logged %d times", n)
	}
	await(t, "word of the reader", func() bool { return strings.Contains(log.String(), "a shard of the journal is not written") })
	remove()
	for _, end := range []string{"the journal's server runs again", "a shard of the journal is written again"} {
		await(t, end, func() bool { return strings.Contains(log.String(), end) })
	}
	close(stop)
	n := int(<-sent)
	a.drain()
	await(t, "all rows", func() bool { return d.rows() == n*10 })
	r.drain()
	d.holds(t, a.durable)
}
