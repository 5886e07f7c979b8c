package ingest

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// ancillary is what the kernel says of one datagram beside its bytes.
type ancillary struct {
	received time.Time // zero when the kernel gave no time
	// dropped is the socket's count of datagrams dropped so far, modulo 2^32; it comes only once there was a drop.
	dropped    uint32
	hasDropped bool
	local      netip.Addr // the address the datagram was sent to; zero when the kernel did not say
}

// ancillarySpace is room for the control messages asked for: a timespec, a 32-bit count and the packet's information,
// which a socket for both families gives in both forms.
func ancillarySpace() int {
	return unix.CmsgSpace(sizeofTimespec64) + unix.CmsgSpace(4) +
		unix.CmsgSpace(unix.SizeofInet4Pktinfo) + unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

const (
	sizeofTimespec32 = 8
	sizeofTimespec64 = 16
)

// parseAncillary reads the control messages of one datagram (socket(7): SO_TIMESTAMPNS, SO_RXQ_OVFL; ip(7):
// IP_PKTINFO; ipv6(7): IPV6_PKTINFO). Others, which a
// passed socket may have been set up for, are skipped.
func parseAncillary(oob []byte) (a ancillary) {
	for len(oob) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return a
		}
		oob = rest
		if header.Level != unix.SOL_SOCKET {
			a.packetInfo(&header, data)
			continue
		}
		switch {
		case header.Type == unix.SCM_TIMESTAMPNS && len(data) >= sizeofTimespec64:
			a.received = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		case header.Type == unix.SCM_TIMESTAMPNS && len(data) >= sizeofTimespec32:
			a.received = time.Unix(int64(int32(binary.NativeEndian.Uint32(data))),
				int64(binary.NativeEndian.Uint32(data[4:])))
		case header.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			a.dropped, a.hasDropped = binary.NativeEndian.Uint32(data), true
		}
	}
	return a
}

// packetInfo reads the local address out of struct in_pktinfo (ipi_spec_dst) or in6_pktinfo.
func (a *ancillary) packetInfo(header *unix.Cmsghdr, data []byte) {
	switch {
	case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		a.local = netip.AddrFrom16([16]byte(data))
	case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		a.local = netip.AddrFrom4([4]byte(data[4:]))
	}
}
