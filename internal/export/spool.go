package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"flowsensor/internal/wire"
)

// spoolName is the file in the spool's directory; beside it may lie one that was damaged.
const spoolName = "spool.db"

// The buckets of the spool. Both have the batch's base stamp as key, so that the oldest comes first.
var (
	batchBucket = []byte("batches") // what travels
	sentBucket  = []byte("sent")    // boot and seq, of those that may have been sent
)

var (
	errSpoolEntry = errors.New("a batch is damaged")
	errSpoolShort = errors.New("the file is shorter than it says")
	errSpoolOrder = errors.New("batches are out of order")
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)
)

// spoolEntry is a batch as the spool keeps it.
type spoolEntry struct {
	kind      wire.Kind
	base      int64
	boot, seq uint64 // 0: never sent
	sum       Amount
	body      []byte
}

// Layout of a batch: checksum of what follows, kind, sum, body. Of its identity: checksum, boot, seq.
const (
	entryHead = 4 + 1 + 4*8
	sentSize  = 4 + 2*8
	// entryCost is what an entry takes beside its body: keys, heads, and the two buckets' bookkeeping.
	entryCost = entryHead + sentSize + 64
)

// cost is an entry's share of the file: pages are about three quarters full.
func cost(body int) int64 { return int64(body+entryCost) * 4 / 3 }

func spoolKey(base int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(base)) }

func withSum(b []byte) []byte {
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

func (e *spoolEntry) encode() []byte {
	b := append(make([]byte, 4, entryHead+len(e.body)), byte(e.kind))
	for _, n := range [...]uint64{e.sum.Records, e.sum.Packets, e.sum.Bytes, e.sum.Answers} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return withSum(append(b, e.body...))
}

func encodeSent(boot, seq uint64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 4, sentSize), boot)
	return withSum(binary.BigEndian.AppendUint64(b, seq))
}

func whole(b []byte, least int) bool {
	return len(b) >= least && binary.BigEndian.Uint32(b) == crc32.Checksum(b[4:], castagnoli)
}

// decodeEntry copies what the spool has under a key.
func decodeEntry(key, value, sent []byte) (e spoolEntry, err error) {
	if len(key) != 8 || !whole(value, entryHead) || sent != nil && (len(sent) != sentSize || !whole(sent, sentSize)) {
		return e, errSpoolEntry
	}
	e.kind, e.base = wire.Kind(value[4]), int64(binary.BigEndian.Uint64(key))
	e.sum = Amount{
		binary.BigEndian.Uint64(value[5:]), binary.BigEndian.Uint64(value[13:]), binary.BigEndian.Uint64(value[21:]), binary.BigEndian.Uint64(value[29:]),
	}
	e.body = append([]byte(nil), value[entryHead:]...)
	if sent != nil {
		e.boot, e.seq = binary.BigEndian.Uint64(sent[4:]), binary.BigEndian.Uint64(sent[12:])
	}
	return e, nil
}

// spool is the batches on disk, in a bbolt file: transactions with fsync, any batch can be taken out, and what is freed
// is used again, though the file never shrinks. Its methods belong to one goroutine at a time. The file is mapped into
// memory, where a read beyond its end or of a bad sector is a fault: guard makes that an error.
type spool struct {
	db      *bbolt.DB
	path    string
	limit   int64     // of cost, as configured
	most    int64     // of cost, at present: less than limit where the disk had no room for that
	crowded time.Time // when the disk had no room last, or when most was raised since

	batches int
	size    int64 // cost of all
	sum     Amount
	broken  error // a fault: nothing is read or written any more
}

// spoolSent is what the start needs to know of a batch that was sent in an earlier life.
type spoolSent struct {
	base      int64
	boot, seq uint64
	sum       Amount
}

// openSpool opens the spool and looks at every batch. A damaged file is set aside with an error in the log.
func openSpool(dir string, most int64, log *slog.Logger) (*spool, []spoolSent, error) {
	s := &spool{path: filepath.Join(dir, spoolName), limit: most, most: most}
	sent, err := s.open()
	if err == nil {
		return s, sent, nil
	}
	if errors.Is(err, ErrFormat) {
		return nil, nil, err
	}
	if err := s.notDamage(err); err != nil {
		return nil, nil, err
	}
	aside := s.path + ".damaged"
	if err := os.Rename(s.path, aside); err != nil {
		return nil, nil, fmt.Errorf("set the damaged spool aside: %w", err)
	}
	log.Error("spool set aside: the batches in it are not sent", "path", s.path, "aside", aside, "error", err)
	*s = spool{path: s.path, limit: most, most: most}
	if sent, err = s.open(); err != nil {
		return nil, nil, fmt.Errorf("spool %s: %w", s.path, err)
	}
	return s, sent, nil
}

// elsewhere are errors of the machine, after which nothing is known against the file.
var elsewhere = []error{
	unix.EROFS, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.ENOLCK, unix.EOPNOTSUPP,
}

// notDamage gives the error to end with where it is no fault of the file's that it does not open: to set it aside then would
// lose what is in it. Otherwise it is nil.
func (s *spool) notDamage(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("spool %s: %w (the sensor's user must be able to write there)", s.path, err)
	case errors.Is(err, bbolterrors.ErrTimeout): // of waiting for its lock
		return fmt.Errorf("spool %s: in use by another running sensor: give each its own spool_dir", s.path)
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("spool %s: %w: make room there, the batches in the file are kept", s.path, err)
	case slices.ContainsFunc(elsewhere, func(e error) bool { return errors.Is(err, e) }):
		return fmt.Errorf("spool %s: %w: mend that, the batches in the file are kept", s.path, err)
	default:
		return nil
	}
}

func (s *spool) open() (sent []spoolSent, err error) {
	err = guard(func() (err error) {
		s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			return err
		}
		return s.db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(batchBucket)
			_, also := tx.CreateBucketIfNotExists(sentBucket)
			return errors.Join(err, also, s.checkFormat(tx))
		})
	})
	if err == nil {
		err = guard(func() error {
			return s.db.View(func(tx *bbolt.Tx) (err error) { sent, err = s.survey(tx); return err })
		})
	}
	if err != nil && s.db != nil {
		_ = guard(s.db.Close)
	}
	return sent, err
}

// survey adds everything up. Check comes last: it works in a goroutine of its own, where a fault could not be caught, so
// that what it reads must have been read before.
func (s *spool) survey(tx *bbolt.Tx) (sent []spoolSent, err error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, err
	}
	if info.Size() < tx.Size() {
		return nil, errSpoolShort
	}
	identities := tx.Bucket(sentBucket)
	last := int64(-1)
	err = tx.Bucket(batchBucket).ForEach(func(key, value []byte) error {
		e, err := decodeEntry(key, value, identities.Get(key))
		if err != nil {
			return err
		}
		if e.base <= last {
			return errSpoolOrder
		}
		last = e.base
		s.batches++
		s.size += cost(len(e.body))
		s.sum = s.sum.Plus(e.sum)
		if e.boot != 0 {
			sent = append(sent, spoolSent{e.base, e.boot, e.seq, e.sum})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for e := range tx.Check() {
		err = errors.Join(err, e)
	}
	return sent, err
}

// guard makes a fault or a panic of the library an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("spool is damaged: %v", p)
		}
	}()
	return f()
}

func (s *spool) close() error {
	if err := guard(s.db.Close); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}
