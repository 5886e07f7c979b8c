package status

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// fileName is the socket's, in the directory that systemd makes for the service.
	fileName = "status.sock"
	// mode lets the service's group ask.
	mode = 0o660
	// maxPath is the room in sockaddr_un (unix(7)), less the terminating zero and what the temporary name has in addition.
	maxPath = 107 - len(temporary)
	// temporary is appended to the path until the socket is as it should be.
	temporary = ".new"
)

// ErrInUse says that a daemon that lives has the socket.
var ErrInUse = errors.New("another daemon that runs has it")

// Auto in a configuration leaves the path to Own.
const Auto = "auto"

// ValidSocket holds what a configuration says of the socket to Auto, an absolute path, or nothing for none.
func ValidSocket(value string) error {
	switch {
	case value == "" || value == Auto:
		return nil
	case !filepath.IsAbs(value):
		return fmt.Errorf(`%q: want "auto", a path from the root on, or "" for no socket`, value)
	default:
		return checkLength(value)
	}
}

func checkLength(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("the path has %d octets, a socket's takes %d at most", len(path), maxPath)
	}
	return nil
}

// Own is where a daemon makes its socket by Auto: in the directory that its unit's RuntimeDirectory= made, else where the unit
// would have had it made.
func Own(program, config string) string {
	// systemd.exec(5): several directories are separated by colons.
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		return filepath.Join(dir, fileName)
	}
	return Path(program, config)
}

// Path is where the unit that reads this configuration has the socket: that of program@NAME for a file that is not
// called as the packages call it.
func Path(program, config string) string {
	name := strings.TrimSuffix(filepath.Base(config), ".toml")
	if "flow-"+name != program {
		program += "-" + name
	}
	return filepath.Join("/run", program, fileName)
}

// listen makes the socket in the place of one that a dead daemon left. It appears at once with its mode, and never in the place
// of anything else. The lock is held as long as the file is open, and tells the living from the dead.
func listen(path string) (_ net.Listener, lock *os.File, err error) {
	if err := checkLength(path); err != nil {
		return nil, nil, err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, nil, errors.New("there is something else of that name, which is left as it is")
	}
	if lock, err = takeLock(path + ".lock"); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := os.Remove(path + temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + temporary, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	listener.SetUnlinkOnClose(false) // it would be by the temporary name
	if err := errors.Join(os.Chmod(path+temporary, mode), os.Rename(path+temporary, path)); err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	return listener, lock, nil
}

// takeLock makes this process the only one that may have the socket, until the file is closed or the process ends.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
