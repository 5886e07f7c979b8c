package enroll

import (
	"fmt"
	"io"
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

// InspectKey loads a key file and says what is wrong with it: beside what any reader refuses, a file that root can read and the
// service cannot. The service reads keys by its group, which is that of their folder where the folder is closed to all others.
func InspectKey(path string) (seal.Key, error) {
	key, err := seal.LoadKeyFile(path)
	if err != nil {
		return key, err
	}
	dir := filepath.Dir(path)
	folder, err := stat(dir)
	if err != nil {
		return key, err
	}
	file, err := stat(path)
	if err != nil {
		return key, err
	}
	switch {
	case folder.mode&0o007 != 0 || file.uid != folder.uid:
		return key, nil // who reads it is not for the folder's group to say
	case file.gid != folder.gid:
		return key, fmt.Errorf("key file %[1]s: its group is not that of its folder, which the service reads it by: chgrp --reference=%[2]s %[1]s && chmod 0640 %[1]s",
			path, dir)
	case folder.gid != 0 && file.mode&0o040 == 0:
		return key, fmt.Errorf("key file %[1]s: mode %#[2]o keeps it from the service's group: chmod 0640 %[1]s", path, file.mode)
	}
	return key, nil
}
