package route

import (
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
)

// route is one route of the main table, as far as a record can tell of it. It is comparable.
type route struct {
	prefix  netip.Prefix
	gateway flow.Addr // of the prefix's IP version; zero where the network is on the link
	outIf   uint32
	metric  uint32
	hops    uint16 // how many there are; the others are not kept
	leads   bool   // to somewhere
}

// errMalformed says that a message is not as rtnetlink(7) has it.
var errMalformed = errors.New("malformed route message")

// native is the byte order of netlink's numbers.
var native = binary.NativeEndian

// Lengths of the structs of rtnetlink(7).
const (
	lenRtMsg     = 12
	lenRtNexthop = 8
	lenAttribute = 4
	lenIfInfo    = 16
)

// parseRoute reads a route message behind its netlink header. A route that is not kept is not kept; that is no error.
func parseRoute(b []byte) (r route, keep bool, err error) {
	if len(b) < lenRtMsg {
		return r, false, errMalformed
	}
	// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags (u32)
	family, dstLen, srcLen, tos, kind := b[0], b[1], b[2], b[3], b[7]
	table, flags := uint32(b[4]), native.Uint32(b[8:])
	var addr netip.Addr
	switch family {
	case unix.AF_INET:
		addr = netip.IPv4Unspecified()
	case unix.AF_INET6:
		addr = netip.IPv6Unspecified()
	default:
		return r, false, nil
	}
	var first hop
	r.hops = 1
	for kind, value := range attributes(b[lenRtMsg:]) {
		switch {
		case kind == badAttribute:
			return r, false, errMalformed
		case kind == unix.RTA_DST:
			var ok bool
			if addr, ok = netip.AddrFromSlice(value); !ok {
				return r, false, errMalformed
			}
		case kind == unix.RTA_TABLE && len(value) == 4:
			table = native.Uint32(value)
		case kind == unix.RTA_PRIORITY && len(value) == 4:
			r.metric = native.Uint32(value)
		case kind == unix.RTA_MULTIPATH:
			if first, r.hops, err = parseMultipath(value, family); err != nil {
				return r, false, err
			}
		default:
			first.take(kind, value, family)
		}
	}
	r.prefix = netip.PrefixFrom(addr, int(dstLen))
	if (family == unix.AF_INET) != addr.Is4() || !r.prefix.IsValid() || r.prefix != r.prefix.Masked() {
		return r, false, errMalformed
	}
	if r.leads = leads(kind); r.leads {
		r.gateway, r.outIf = first.gateway, first.outIf
	}
	dead := flags&unix.RTNH_F_DEAD != 0
	return r, table == unix.RT_TABLE_MAIN && srcLen == 0 && tos == 0 && flags&unix.RTM_F_CLONED == 0 && !dead, nil
}

// leads reports whether packets on a route of that kind go somewhere.
func leads(kind uint8) bool {
	switch kind {
	case unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return false
	default:
		return true
	}
}

// hop is a next hop.
type hop struct {
	gateway flow.Addr
	outIf   uint32
}

// take reads an attribute of a next hop. A gateway of the other IP version (RTA_VIA) has no place in a record.
func (h *hop) take(kind uint16, value []byte, family uint8) {
	switch {
	case kind == unix.RTA_OIF && len(value) == 4:
		h.outIf = native.Uint32(value)
	case kind == unix.RTA_GATEWAY && family == unix.AF_INET && len(value) == 4:
		h.gateway = flow.AddrFrom4(value)
	case kind == unix.RTA_GATEWAY && family == unix.AF_INET6 && len(value) == 16:
		h.gateway = flow.AddrFrom16(value)
	}
}

// parseMultipath gives the first next hop that is alive and has a carrier, or else is alive, or else the first.
func parseMultipath(b []byte, family uint8) (best hop, hops uint16, err error) {
	rank := 0
	for len(b) > 0 {
		if len(b) < lenRtNexthop {
			return best, hops, errMalformed
		}
		// struct rtnexthop: len (u16), flags, hops, ifindex
		size, flags := int(native.Uint16(b)), b[2]
		if size < lenRtNexthop || size > len(b) {
			return best, hops, errMalformed
		}
		h := hop{outIf: native.Uint32(b[4:])}
		for kind, value := range attributes(b[lenRtNexthop:size]) {
			if kind == badAttribute {
				return best, hops, errMalformed
			}
			h.take(kind, value, family)
		}
		hops++
		if n := rankOf(flags); n > rank {
			best, rank = h, n
		}
		b = b[min(align(size), len(b)):]
	}
	return best, hops, nil
}

func rankOf(flags uint8) int {
	switch {
	case flags&unix.RTNH_F_DEAD != 0:
		return 1
	case flags&unix.RTNH_F_LINKDOWN != 0:
		return 2
	default:
		return 3
	}
}

// badAttribute is given for what is left where an attribute does not fit.
const badAttribute = 0xffff

// attributes walks the attributes of a message (struct rtattr: length and kind, padded to four octets).
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) > 0 {
			if len(b) < lenAttribute {
				yield(badAttribute, b)
				return
			}
			size := int(native.Uint16(b))
			if size < lenAttribute || size > len(b) {
				yield(badAttribute, b)
				return
			}
			const flags = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
			if !yield(native.Uint16(b[2:])&^flags, b[lenAttribute:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

func align(n int) int { return (n + 3) &^ 3 }

// parseLink reads the index and the flags of a link message.
func parseLink(b []byte) (index int32, flags uint32, err error) {
	if len(b) < lenIfInfo {
		return 0, 0, errMalformed
	}
	// struct ifinfomsg: family, padding, type (u16), index, flags, change
	return int32(native.Uint32(b[4:])), native.Uint32(b[8:]), nil
}
