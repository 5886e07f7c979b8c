package export

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
)

// stateName is the file in the state directory; beside it may lie its next version (.tmp) and one that was damaged.
const stateName = "export.state"

// Stamps are reserved in the state file before they are used: reserveAhead of the clock, or reserveSpare where the
// stamps run ahead of the clock already and only count records. A renewal is asked for at half of either. So a sensor
// that was killed starts its stamps at most about reserveAhead in the future, however often it was killed.
const (
	reserveAhead = 10 * time.Second
	reserveSpare = 100 * time.Millisecond
)

// reserveWait bounds how long a batch waits for its reservation: the first batch after an idle time and after a step of
// the clock, where a healthy disk needs milliseconds. stateRetry is the pause after a failed write.
const (
	reserveWait = 250 * time.Millisecond
	stateRetry  = time.Second
)

var errDamaged = errors.New("damaged: its content is not what a sensor wrote")

// state is what must survive a restart.
type state struct {
	boot  uint64 // of the newest sender
	stamp int64  // every stamp below may have been given
	end   ending
}

// ending says how a life ended, as the state file shows it to the next one.
type ending string

const (
	running ending = "running" // it did not: it was killed, or still runs
	clean   ending = "clean"   // in order, all of it accounted for
)

// encode has a checksum, because a wrong but plausible mark would cost the uniqueness of the points.
func (s state) encode() []byte {
	text := fmt.Sprintf(stateHead+"1\nboot %d\nstamp %d\nend %s\n", s.boot, s.stamp, s.end)
	return fmt.Appendf(nil, "%scrc32c %08x\n", text, crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
}

// decodeState takes exactly what encode gives.
func decodeState(b []byte) (state, error) {
	var s state
	var sum uint32
	_, err := fmt.Sscanf(string(b), stateHead+"1\nboot %d\nstamp %d\nend %s\ncrc32c %x\n", &s.boot, &s.stamp, &s.end, &sum)
	if err != nil || string(b) != string(s.encode()) || s.end != running && s.end != clean || s.boot > uint64(flow.MaxTime) || s.stamp < 0 || s.stamp > flow.MaxTime {
		return state{}, errDamaged
	}
	return s, nil
}

// stateFile keeps the state on disk. Its methods belong to the sender's goroutine; the writes run in goroutines of
// their own, one at a time, because an fsync may take seconds and the queue behind the sender does not wait that long.
type stateFile struct {
	log  *slog.Logger
	dir  *os.File // holds the lock on the directory
	path string
	boot uint64

	reserved atomic.Int64 // stamps below are on disk as given
	fails    atomic.Uint64
	failing  atomic.Bool

	done   chan struct{} // closed when the newest write has ended
	waited bool          // for that write, in vain
	began  time.Time     // when it began
}

// openState reads the directory's state file, locks the directory and writes the new boot: now, or more where the clock
// went back. It gives what the last life left, the zero state where there was none. A damaged file is set aside with an error in the log, and the clock alone decides.
func openState(dir string, now int64, log *slog.Logger) (_ *stateFile, _ state, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, state{}, fmt.Errorf("state directory: %w (systemd makes it for StateDirectory=flow-sensor; else create it for the sensor's user)", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	// A filesystem without locks (ENOLCK, EOPNOTSUPP) must do without; two sensors are then the operator's to avoid.
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, state{}, fmt.Errorf("state directory %s: in use by another running sensor: give each its own", dir)
	}
	f := &stateFile{log: log, dir: d, path: filepath.Join(dir, stateName), done: make(chan struct{})}
	close(f.done)
	old, err := f.read()
	if err != nil {
		return nil, state{}, err
	}
	f.boot = max(uint64(now), old.boot+1)
	if err := f.write(old.stamp, running); err != nil {
		return nil, state{}, fmt.Errorf("state directory %s: %w (the sensor's user must be able to write there)", dir, err)
	}
	return f, old, nil
}

// read gives the zero state where there is no file yet.
func (f *stateFile) read() (state, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("state file: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(file, 4096))
	if err := errors.Join(err, file.Close()); err != nil {
		return state{}, fmt.Errorf("state file: %w", err)
	}
	if err := stateVersion(f.path, b); err != nil {
		return state{}, err
	}
	s, err := decodeState(b)
	if err == nil {
		return s, nil
	}
	aside := f.path + ".damaged"
	if err := os.Rename(f.path, aside); err != nil {
		return state{}, fmt.Errorf("set the damaged state file aside: %w", err)
	}
	f.log.Error("state file set aside: point times go on from the clock, and repeat if it was set back since",
		"path", f.path, "aside", aside, "error", err)
	return state{}, nil
}

// cover sees to it that stamps below next are reserved. It waits for the disk only where they are not, once per write
// and bounded; where the disk fails it goes on, as a lost flow is worse than a point time that repeats if the
// sensor is killed and the clock set back before the next write succeeds.
func (f *stateFile) cover(now, next int64) {
	reserved := f.reserved.Load()
	if reserved >= max(now+int64(reserveAhead/2), next+int64(reserveSpare/2)) {
		return
	}
	f.begin(max(now+int64(reserveAhead), next+int64(reserveSpare)))
	if reserved >= next || f.waited || f.failing.Load() {
		return
	}
	bound := time.NewTimer(reserveWait)
	defer bound.Stop()
	select {
	case <-f.done:
	case <-bound.C:
		f.waited = true
	}
}

// begin starts a write unless one is under way or failed just now.
func (f *stateFile) begin(stamp int64) {
	select {
	case <-f.done:
	default:
		return
	}
	if f.failing.Load() && time.Since(f.began) < stateRetry {
		return
	}
	f.done, f.waited, f.began = make(chan struct{}), false, time.Now()
	go f.reserve(stamp, f.done)
}

func (f *stateFile) reserve(stamp int64, done chan<- struct{}) {
	defer close(done)
	err := f.write(stamp, running)
	switch {
	case err == nil && f.failing.Swap(false):
		f.log.Info("state file written again", "path", f.path)
	case err != nil:
		f.fails.Add(1)
		if !f.failing.Swap(true) {
			f.log.Error("state file not written: point times may repeat if the sensor is killed and the clock set back",
				"path", f.path, "error", err)
		}
	}
}

// write replaces the file so that after a crash either the old or the new content is there.
func (f *stateFile) write(stamp int64, end ending) error {
	tmp := f.path + ".tmp"
	if err := writeSynced(tmp, state{f.boot, stamp, end}.encode()); err != nil {
		return err
	}
	if err := os.Rename(tmp, f.path); err != nil {
		return fmt.Errorf("replace state file: %w", err)
	}
	if err := f.dir.Sync(); err != nil {
		return fmt.Errorf("sync state directory: %w", err)
	}
	f.reserved.Store(stamp)
	return nil
}

func writeSynced(path string, b []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// close waits for the write under way, stores the exact mark and gives up the lock.
func (f *stateFile) close(stamp int64) error {
	<-f.done
	return errors.Join(f.write(stamp, clean), f.dir.Close())
}
