package daemon_test

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"flowsensor/internal/daemon"
)

func TestWritable(t *testing.T) {
	sealed := &fs.PathError{Op: "mkdir", Path: "/srv/flows", Err: syscall.EROFS}
	if err := daemon.Writable(sealed); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "mkdir /srv/flows: read-only file system: the unit") ||
		!strings.Contains(err.Error(), "ReadWritePaths=") {
		t.Errorf("got %v", err)
	}
	if err := daemon.Writable(fs.ErrPermission); err != fs.ErrPermission { //nolint:errorlint // that very error
		t.Errorf("got %v", err)
	}
	if err := daemon.Writable(nil); err != nil {
		t.Errorf("got %v", err)
	}
}
