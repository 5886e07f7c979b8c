package export

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// leftRoom of the file system stays free of the spool: the state file must be written beside it, or the sensor does not
// start again.
const leftRoom = 1 << 20

// spare is how much of the disk the file has before it needs it: to give up batches takes pages too, and a disk that
// others filled has none. It is what the list of free pages and the pages on the way to the batches come to.
func (s *spool) spare() int64 { return 64<<10 + s.limit/256 }

// prepare sees to it that the file has room for a transaction of so much before that begins. ENOSPC says that the file
// cannot grow: what comes can only take the place of what is there.
func (s *spool) prepare(need int64) error {
	need += s.spare()
	if stats := s.db.Stats(); int64(stats.FreePageN+stats.PendingPageN)*int64(s.db.Info().PageSize) >= need {
		return nil
	}
	var used int64 // the end of the pages that were ever in use
	if err := s.db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	file, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return errors.Join(allocate(int(file.Fd()), used, need), file.Close())
}

// allocate has the file take as much of the disk behind an offset, and leaves leftRoom there. A file system that cannot do
// so ahead of time (EOPNOTSUPP) says ENOSPC to the transaction.
func allocate(fd int, from, size int64) error {
	var file unix.Stat_t
	var disk unix.Statfs_t
	if err := errors.Join(unix.Fstat(fd, &file), unix.Fstatfs(fd, &disk)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	missing := from + size - max(file.Blocks*512, from)
	if missing <= 0 {
		return nil
	}
	if int64(disk.Bavail)*disk.Bsize < missing+leftRoom {
		return fmt.Errorf("spool: %w", syscall.ENOSPC)
	}
	if err := unix.Fallocate(fd, 0, from, size); err != nil {
		return fmt.Errorf("spool: reserve: %w", err)
	}
	return nil
}
