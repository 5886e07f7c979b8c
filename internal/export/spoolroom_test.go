package export

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/smalldisk"
	"flowsensor/internal/wire"
)

// filler puts full datagrams into a spool, as a collector that is away makes them.
type filler struct {
	*testing.T
	spool *spool
	base  int64
	gone  int
}

func newFiller(t *testing.T, dir string, limit int64) *filler {
	t.Helper()
	s, _, err := openSpool(dir, limit, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return &filler{T: t, spool: s}
}

// put is a job of so many batches, each of which must be in the spool then.
func (f *filler) put(batches int) {
	f.Helper()
	job := &spoolJob{}
	for range batches {
		f.base += 100
		job.puts = append(job.puts, spoolEntry{
			kind: wire.Flows, base: f.base, boot: 1, seq: uint64(f.base / 100), sum: Amount{Records: 70}, body: make([]byte, 1050),
		})
	}
	r := f.spool.do(job)
	if r.err != nil {
		f.Fatal(r.err)
	}
	for _, e := range r.evicted {
		if f.gone++; e.base != int64(f.gone)*100 {
			f.Fatalf("%d was given up where %d is the oldest", e.base, f.gone*100)
		}
	}
	if f.spool.batches+f.gone != int(f.base/100) || f.spool.batches < batches {
		f.Fatalf("%d batches put in, %d given up, %d there", f.base/100, f.gone, f.spool.batches)
	}
}

// What the operator allows it is what the spool takes of the disk, not what its batches alone come to.
func TestSpoolTakesNoMoreOfTheDisk(t *testing.T) {
	const limit = 8 << 20
	dir := t.TempDir()
	f := newFiller(t, dir, limit)
	for range 150 {
		f.put(100)
	}
	var file unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, spoolName), &file); err != nil {
		t.Fatal(err)
	}
	if took := file.Blocks * 512; took > limit || took < limit*3/4 {
		t.Errorf("the spool may take %d octets of the disk and took %d", limit, took)
	}
}

// fill takes the last octet of a small disk, and gives the file that has it.
func fill(t *testing.T, dir string) (balloon string) {
	t.Helper()
	balloon = filepath.Join(dir, "balloon")
	if err := os.WriteFile(balloon, make([]byte, 16<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal("the disk does not fill:", err)
	}
	return balloon
}

// A spool that cannot be opened now is no damaged one, and is not set aside.
func TestSpoolThatCannotBeOpened(t *testing.T) {
	dir := smalldisk.Mount(t, "6m")
	f := newFiller(t, dir, 64<<20)
	f.put(100)
	refused := func(why string) {
		t.Helper()
		_, _, err := openSpool(dir, 64<<20, slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Error(err)
		}
		if found, err := filepath.Glob(filepath.Join(dir, "*.damaged")); err != nil || len(found) > 0 {
			t.Fatal(found, err)
		}
	}
	refused("in use by another running sensor")
	if err := f.spool.close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, spoolName)
	if err := os.Truncate(path, 0); err != nil { // as after a crash at the very beginning
		t.Fatal(err)
	}
	balloon := fill(t, dir)
	refused("make room")
	if err := os.Remove(balloon); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	refused("read-only file system")
}

// TestSpoolWithoutRoom: on a disk that is smaller than the spool may be the oldest make room for the newest, nothing else; the state
// file keeps its place; and where others take the last octet of the disk that goes on.
func TestSpoolWithoutRoom(t *testing.T) {
	dir := smalldisk.Mount(t, "6m")
	f := newFiller(t, dir, 64<<20)
	for i := range 100 {
		f.put(20 + i%7*20)
		if err := writeSynced(filepath.Join(dir, stateName), make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if kept := f.spool.batches; f.gone == 0 || kept < 1500 {
		t.Errorf("%d batches given up, %d there", f.gone, kept)
	}
	balloon := fill(t, dir)
	for range 20 {
		f.put(100)
	}
	if err := os.Remove(balloon); err != nil {
		t.Fatal(err)
	}
	f.put(100)
}
