package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// keyMode is for the service's group to read.
const keyMode fs.FileMode = 0o640

// create writes a file that must not exist yet: under its name it appears complete, or not at all.
func create(path, text string, mode fs.FileMode) error {
	return place(path, text, mode, func(tmp string) error {
		err := os.Link(tmp, path) // unlike rename(2) it refuses a name that is taken
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s %w", path, ErrExists)
		}
		return err
	})
}

// replace exchanges a file's content, keeping its mode.
func replace(path, text string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return place(path, text, info.Mode().Perm(), func(tmp string) error { return os.Rename(tmp, path) })
}

// place writes a temporary file beside path, lets settle give it its name, and waits until both are on the disk.
func place(path, text string, mode fs.FileMode, settle func(tmp string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600, and no drop-in by its name
	if err != nil {
		return err
	}
	tmp := f.Name()
	defer func() { _ = os.Remove(tmp) }() // where it was renamed it is gone already
	_, err = f.WriteString(text)
	if err == nil {
		err = dress(tmp, mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := settle(tmp); err != nil {
		return err
	}
	return syncDir(dir)
}

// dress gives a file the owner and group of its folder, and its mode: the packages make the folder of keys root:flow-collector.
func dress(path string, mode fs.FileMode) error {
	folder, err := stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := os.Chown(path, folder.uid, folder.gid); err != nil {
		return fmt.Errorf("%w (as root it would work)", err)
	}
	return os.Chmod(path, mode)
}

// status is whose a file is, and who may do what with it.
type status struct {
	uid, gid int
	mode     fs.FileMode // the permission bits
}

func stat(path string) (status, error) {
	info, err := os.Stat(path)
	if err != nil {
		return status{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return status{uid: int(st.Uid), gid: int(st.Gid), mode: info.Mode().Perm()}, nil
}

// makeDir makes a folder that may be missing, with this mode whatever the umask says.
func makeDir(path string, mode fs.FileMode) error {
	switch err := os.Mkdir(path, mode); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return errors.Join(os.Chmod(path, mode), syncDir(filepath.Dir(path)))
}

// syncDir makes a folder's names survive a crash.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
