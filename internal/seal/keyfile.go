package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxKeyFile is generous: a key is 44 characters and a newline.
const maxKeyFile = 1024

const remedy = "chmod 0640, and chgrp to the service's group"

// ErrKeyFile says that a key file is refused for what it is, before its content counts.
var ErrKeyFile = errors.New("key file refused")

// LoadKeyFile reads a key from a file, following symbolic links: as systemd lays out credentials. It refuses a file that
// others may read or write, that the group may write, that is not a regular file, is empty, too large or no key. The
// error names the file, what was found and the remedy, never the content.
func LoadKeyFile(path string) (Key, error) {
	// Not blocking: opening a FIFO would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrPermission) {
		return Key{}, fmt.Errorf("key file: %w: %s; who is not the service needs root", err, remedy)
	}
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	if err := checkKeyFile(info); err != nil {
		return Key{}, fmt.Errorf("%w: %s: %w", ErrKeyFile, path, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	k, err := ParseKey(string(text))
	if err != nil {
		return Key{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return k, nil
}

// CheckFile judges by its mode whether a file may hold a key.
func CheckFile(mode fs.FileMode) error {
	switch {
	case !mode.IsRegular():
		return fmt.Errorf("it is not a regular file (%s)", mode)
	case mode.Perm()&0o004 != 0:
		return fmt.Errorf("mode %#o lets everyone read it: %s", mode.Perm(), remedy)
	case mode.Perm()&0o022 != 0:
		return fmt.Errorf("mode %#o lets others than its owner write it: %s", mode.Perm(), remedy)
	}
	return nil
}

// checkKeyFile judges the opened file, not the name: the two may differ by the time one looks.
func checkKeyFile(info fs.FileInfo) error {
	if err := CheckFile(info.Mode()); err != nil {
		return err
	}
	switch {
	case info.Size() == 0:
		return errors.New("it is empty")
	case info.Size() > maxKeyFile:
		return fmt.Errorf("it has %d octets, a key has 44", info.Size())
	}
	return nil
}
