package flow

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IP address as two big-endian words: the form that hashes and compares fastest, without pointers. An IPv4
// address stands in the low 32 bits of Lo, so Addr alone does not tell the family: Key.Version does, which also keeps
// ::ffff:192.0.2.1 apart from 192.0.2.1.
type Addr struct {
	Hi, Lo uint64
}

// AddrFrom4 reads an IPv4 address from the first four bytes of b, which must be there.
func AddrFrom4(b []byte) Addr {
	return Addr{Lo: uint64(binary.BigEndian.Uint32(b))}
}

// AddrFrom16 reads an IPv6 address from the first sixteen bytes of b, which must be there.
func AddrFrom16(b []byte) Addr {
	_ = b[15]
	return Addr{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}

// AddrFrom takes a and says the IP version it belongs to; version 0 for the zero netip.Addr. A 4-in-6 address stays
// version 6, and a zone is dropped.
func AddrFrom(a netip.Addr) (addr Addr, version uint8) {
	switch {
	case a.Is4():
		b := a.As4()
		return AddrFrom4(b[:]), 4
	case a.IsValid():
		b := a.As16()
		return AddrFrom16(b[:]), 6
	default:
		return Addr{}, 0
	}
}

// IsZero reports whether a is the unspecified address.
func (a Addr) IsZero() bool { return a == Addr{} }

// Netip gives the address for the IP version it belongs to, the zero netip.Addr for any other version.
func (a Addr) Netip(version uint8) netip.Addr {
	switch version {
	case 4:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a.Lo))
		return netip.AddrFrom4(b)
	case 6:
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], a.Hi)
		binary.BigEndian.PutUint64(b[8:], a.Lo)
		return netip.AddrFrom16(b)
	default:
		return netip.Addr{}
	}
}
