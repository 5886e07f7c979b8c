package export

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Versions of what a sensor keeps on disk. A version that is newer than these was written by a newer sensor: it is neither damaged
// nor to be set aside, and the sensor does not start.
const (
	stateFormat = 1
	spoolFormat = 1
)

// ErrFormat says that a newer version wrote what is on disk.
var ErrFormat = errors.New("written by a newer flow-sensor")

// newer words the refusal: what, its version, what this program knows, and what to do.
func newer(what string, got, known uint64) error {
	return fmt.Errorf("%s has format %d, this version knows %d: %w: install that one again, and let it drain its spool before a downgrade; "+
		"or move the file away, which loses what is in it", what, got, known, ErrFormat)
}

const stateHead = "flow-sensor export state "

// stateVersion refuses a state file of a newer version. What does not say a version at all is for the checksum to judge.
func stateVersion(path string, b []byte) error {
	var got uint64
	if _, err := fmt.Fscanf(bytes.NewReader(b), stateHead+"%d\n", &got); err != nil || got <= stateFormat {
		return nil
	}
	return newer(path, got, stateFormat)
}

// The spool says its version under a key of a bucket of its own. A spool without that is of version 1.
var (
	metaBucket = []byte("meta")
	formatKey  = []byte("format")
)

// checkFormat refuses a newer spool, and marks one that has no mark.
func (s *spool) checkFormat(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	mark := meta.Get(formatKey)
	if mark == nil {
		return meta.Put(formatKey, fmt.Append(nil, spoolFormat))
	}
	var got uint64
	if _, err := fmt.Sscanf(string(mark), "%d", &got); err != nil {
		return errSpoolEntry
	}
	if got > spoolFormat {
		return newer(s.path, got, spoolFormat)
	}
	return nil
}
