package ingest

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// ancillary is what the kernel says of one datagram beside its bytes.
type ancillary struct {
	received time.Time // zero when the kernel gave no time
	// dropped is the socket's count of datagrams dropped so far, modulo 2^32; it comes only once there was a drop.
	dropped    uint32
	hasDropped bool
}

// ancillarySpace is room for the two control messages asked for: a timespec and a 32-bit count.
func ancillarySpace() int { return unix.CmsgSpace(sizeofTimespec64) + unix.CmsgSpace(4) }

const (
	sizeofTimespec32 = 8
	sizeofTimespec64 = 16
)

// parseAncillary reads the control messages of one datagram (socket(7): SO_TIMESTAMPNS, SO_RXQ_OVFL). Others, which a
// passed socket may have been set up for, are skipped.
func parseAncillary(oob []byte) (a ancillary) {
	for len(oob) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return a
		}
		oob = rest
		if header.Level != unix.SOL_SOCKET {
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
