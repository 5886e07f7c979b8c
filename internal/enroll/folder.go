package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"flowsensor/internal/seal"
)

// Errors of a Folder, for errors.Is.
var (
	ErrExists   = errors.New("exists already and is left as it is")
	ErrByHand   = errors.New("not in a form that can be changed by program")
	ErrRotating = errors.New("a rotation is under way")
	ErrOneKey   = errors.New("no rotation is under way: there is one key")
)

// Folder names the two folders beside a collector's configuration.
type Folder struct {
	Tables string // sensors.d
	Keys   string // keys
}

// Beside gives the folders of the configuration file.
func Beside(config string) (Folder, error) {
	path, err := filepath.Abs(config)
	if err != nil {
		return Folder{}, err
	}
	dir := filepath.Dir(path)
	return Folder{Tables: filepath.Join(dir, "sensors.d"), Keys: filepath.Join(dir, "keys")}, nil
}

// Dropins lists the files that declare sensors, sorted by name: *.toml, hidden ones left out. A folder that does not exist
// has none.
func (f Folder) Dropins() ([]string, error) {
	entries, err := os.ReadDir(f.Tables)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries { // sorted by os.ReadDir
		if name := e.Name(); filepath.Ext(name) == ".toml" && name[0] != '.' {
			paths = append(paths, filepath.Join(f.Tables, name))
		}
	}
	return paths, nil
}

// Add writes the sensor's key and a drop-in that names it. The id must be valid and new, the prefixes valid. The key goes first, so
// that no drop-in ever names a key that is not there.
func (f Folder) Add(id string, prefixes []string, key seal.Key) (Sensor, error) {
	s := Sensor{ID: id, KeyFiles: []string{filepath.Join(f.Keys, id+".key")}, Prefixes: prefixes}
	text, err := s.Block()
	if err != nil {
		return Sensor{}, err
	}
	if err := makeDir(f.Tables, 0o755); err != nil {
		return Sensor{}, err
	}
	isNew, err := f.writeKey(s.KeyFiles[0], key)
	if err != nil {
		return Sensor{}, err
	}
	if err := create(filepath.Join(f.Tables, id+".toml"), text, 0o644); err != nil {
		if isNew {
			err = errors.Join(err, os.Remove(s.KeyFiles[0]))
		}
		return Sensor{}, err
	}
	return s, nil
}

// Rotate puts a new key before the sensor's only one: the collector opens with both from its next reload on.
func (f Folder) Rotate(s Sensor, t Table, key seal.Key) (Sensor, error) {
	if len(s.KeyFiles) != 1 {
		return s, fmt.Errorf("%w: %s has %d keys (%s): end it first, with --finish", ErrRotating, s.ID, len(s.KeyFiles), t)
	}
	// The commercial at is not among the characters of an id, so this is no other sensor's file.
	path := filepath.Join(f.Keys, s.ID+"@"+key.Fingerprint()+".key")
	isNew, err := f.writeKey(path, key)
	if err != nil {
		return s, err
	}
	next := s
	next.KeyFiles = []string{path, s.KeyFiles[0]}
	if err := setKeyFiles(t, next.KeyFiles); err != nil {
		if isNew {
			err = errors.Join(err, os.Remove(path))
		}
		return s, err
	}
	return next, nil
}

// Finish takes the old key away, which ends a rotation: the table first, then the file, if it lies in the folder of keys.
func (f Folder) Finish(s Sensor, t Table) (Sensor, error) {
	if len(s.KeyFiles) < 2 {
		return s, fmt.Errorf("%w: %s", ErrOneKey, s.ID)
	}
	next := s
	next.KeyFiles = s.KeyFiles[:1]
	if err := setKeyFiles(t, next.KeyFiles); err != nil {
		return s, err
	}
	return next, f.RemoveKeys(s.KeyFiles[1:])
}

// Remove takes a drop-in away that declares one sensor and nothing else.
func (f Folder) Remove(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(f.Tables)
}

// RemoveKeys removes those of the files that lie in the folder of keys; others are none of ours.
func (f Folder) RemoveKeys(files []string) error {
	var errs []error
	for _, path := range f.Own(files) {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, syncDir(f.Keys))...)
}

// Own gives those of the files that lie in the folder of keys.
func (f Folder) Own(files []string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(path string) bool { return filepath.Dir(path) != f.Keys })
}

// writeKey writes a key file with the owner and group of its folder, mode 0640, and reports whether it is new. A file that
// holds this very key already is put right in owner and mode.
func (f Folder) writeKey(path string, key seal.Key) (isNew bool, err error) {
	if err := makeDir(f.Keys, 0o750); err != nil {
		return false, err
	}
	err = create(path, key.Encode()+"\n", keyMode)
	if !errors.Is(err, ErrExists) {
		return err == nil, err
	}
	there, loadErr := seal.LoadKeyFile(path)
	switch {
	case loadErr != nil:
		return false, errors.Join(err, loadErr)
	case !there.Equal(key):
		return false, fmt.Errorf("%w, with another key: move it away first", err)
	}
	return false, dress(path, keyMode)
}
