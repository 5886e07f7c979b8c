package collector

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// sockets gives the addresses to listen on. The default names both families, which asks too much of a machine whose kernel has
// no IPv6: there it is IPv4 alone. What an administrator wrote is taken at its word.
func (c *IngestConfig) sockets(log *slog.Logger, ipv6 func() error) ([]netip.AddrPort, error) {
	all, err := c.addresses()
	if err != nil {
		return nil, configError(err)
	}
	if !slices.Equal(c.Listen, Defaults().Ingest.Listen) {
		return all, nil
	}
	if err := ipv6(); errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		all = slices.DeleteFunc(all, func(a netip.AddrPort) bool { return a.Addr().Is6() })
		log.Info("this machine has no IPv6: listening on IPv4 alone", "err", err)
	}
	return all, nil
}

// tryIPv6 opens a socket as those that listen are, but for the port.
func tryIPv6() error {
	conn, err := net.ListenPacket("udp6", "[::]:0")
	if err != nil {
		return err
	}
	return conn.Close()
}
