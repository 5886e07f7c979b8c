package dnstap

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Limits.
const (
	// maxConnections is more than the servers that anybody has tell one collector.
	maxConnections = 64
	// maxFrame holds a DNS message of the greatest length, twice, and what stands around it.
	maxFrame = 160 << 10
	// handshakeTimeout bounds each step of a connection's beginning.
	handshakeTimeout = 5 * time.Second
	// socketMode of a Unix socket: the server's user belongs into the collector's group.
	socketMode = 0o660
)

// ParseListen takes "unix:/path" or "tcp:address:port" apart for net.Listen.
func ParseListen(text string) (network, address string, err error) {
	network, address, _ = strings.Cut(text, ":")
	switch network {
	case "unix":
		if !filepath.IsAbs(address) {
			return "", "", fmt.Errorf("%q: the path of a Unix socket must be absolute", text)
		}
	case "tcp":
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return "", "", fmt.Errorf("%q: want an address and a port behind tcp: (%w)", text, err)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil { // 0 is any, for tests
			return "", "", fmt.Errorf("%q: want a port from 1 to 65535", text)
		}
	default:
		return "", "", errors.New(`want "unix:/path" or "tcp:address:port"`)
	}
	return network, address, nil
}
