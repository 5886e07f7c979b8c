package daemon

import (
	"errors"
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
)

// PassedSockets gives the datagram sockets that systemd opened for this process (systemd.socket(5), sd_listen_fds(3)), in the
// order of the unit; none where it opened none. Only the first call gets them, and its caller closes them. A socket of
// another kind is an error, and then all are closed.
func PassedSockets() ([]net.PacketConn, error) {
	var conns []net.PacketConn
	var errs []error
	for _, f := range activation.Files(true) {
		conn, err := net.FilePacketConn(f) // a copy of the descriptor
		if err != nil {
			errs = append(errs, ConfigError{Err: fmt.Errorf("passed socket %s: %w: want ListenDatagram= in the socket unit", f.Name(), err)})
		} else {
			conns = append(conns, conn)
		}
		errs = append(errs, f.Close())
	}
	if err := errors.Join(errs...); err != nil {
		for _, conn := range conns {
			err = errors.Join(err, conn.Close())
		}
		return nil, err
	}
	return conns, nil
}
