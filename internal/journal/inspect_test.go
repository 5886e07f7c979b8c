package journal_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"flowsensor/internal/journal"
)

// Mending a block must not be able to lose what is whole in it: neither where the disk has no room for it, nor by a crash
// half-way. A limit on the size of files stands for the full disk.
func TestMendingNeedsNoRoom(t *testing.T) {
	for name, damage := range map[string]struct {
		to     func(old []byte) []byte
		mended bool
	}{
		"torn end": {func(old []byte) []byte { return old[:len(old)-5] }, true}, // is cut off where it lies
		"a bit in the midst": {func(old []byte) []byte {
			old[len(old)/2] ^= 1
			return old
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			fill(t, c)
			blocks := filepath.Join(c.Dir, "jetstream/$G/streams/FLOWS/msgs/*.blk")
			harm(t, blocks, damage.to)
			paths, err := filepath.Glob(blocks)
			if err != nil || len(paths) != 1 {
				t.Fatal(paths, err)
			}
			harmed, err := os.ReadFile(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			limitFiles(t, 8<<10)
			j, err := journal.Open(c, slog.New(slog.DiscardHandler))
			if err == nil {
				closeJournal(t, j)
			}
			after, err := os.ReadFile(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			if !damage.mended && !bytes.Equal(after, harmed) || len(after) < len(harmed)-4<<10 || !bytes.HasPrefix(harmed, after) {
				t.Errorf("%d octets are left of %d", len(after), len(harmed))
			}
		})
	}
}

// limitFiles has the kernel refuse to make a file longer (setrlimit(2), RLIMIT_FSIZE).
func limitFiles(t *testing.T, octets uint64) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: octets, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	})
}
