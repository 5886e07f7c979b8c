package enroll

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"flowsensor/internal/seal"
)

// maxKeyText is generous: a key is 44 characters and a newline.
const maxKeyText = 1024

// ReadKey reads a key that is handed over through a pipe.
func ReadKey(in io.Reader) (seal.Key, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxKeyText))
	if err != nil {
		return seal.Key{}, fmt.Errorf("read key: %w", err)
	}
	return seal.ParseKey(string(text))
}

// InspectKey loads a key file and says what is wrong with it: beside what any reader refuses, a group that is not its
// folder's, where the folder is closed to all but its group, so that root can read it and the service cannot.
func InspectKey(path string) (seal.Key, error) {
	key, err := seal.LoadKeyFile(path)
	if err != nil {
		return key, err
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return key, err
	}
	_, folder, err := owner(filepath.Dir(path))
	if err != nil {
		return key, err
	}
	_, file, err := owner(path)
	if err != nil {
		return key, err
	}
	if dir.Mode().Perm()&0o007 == 0 && file != folder {
		return key, fmt.Errorf("key file %s: its group is not that of its folder, which the service reads it by: chgrp --reference=%s %s",
			path, filepath.Dir(path), path)
	}
	return key, nil
}
