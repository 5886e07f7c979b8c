package daemon

import (
	"errors"
	"fmt"
	"syscall"
)

// Writable says of an error about a place to write what lets the service write there: to it all of the file system but its own
// directories is read-only, by its unit. Other errors stay as they are.
func Writable(err error) error {
	if errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: the unit lets the service write below its directory in /var/lib alone; for another one "+
			"`systemctl edit` it with [Service], ReadWritePaths=", err)
	}
	return err
}
