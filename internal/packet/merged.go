package packet

import "flowsensor/internal/flow"

const (
	udpHeader = 8
	// maxMerged is beyond what the kernel merges (GSO_MAX_SIZE, 8 * 65535).
	maxMerged = 1 << 20
)

// unmerge makes p what was on the wire before the kernel merged segments of size payload octets into the packet at the
// front of b: each segment had the headers once (tcp_gso_segment and __udp_gso_segment in net/ipv4 do the same the other
// way round, and what GRO merges is what they could have split). A packet of another protocol than that of the segments
// is a tunnel with the segments inside: it stays one packet, and is noted.
func (d *Decoder) unmerge(p *flow.Packet, b []byte, size uint16, proto uint8) {
	header, added, ok := segmentHeader(p, b)
	if !ok || proto != p.Proto || p.Bytes < header+added || p.Bytes > maxMerged {
		d.counters.note(NoteMergedUnresolved)
		return
	}
	p.Bytes -= added
	segments := (p.Bytes - header + uint64(size) - 1) / uint64(size)
	if segments > 1 {
		p.Packets = uint32(segments)
		p.Bytes += (segments - 1) * header
	}
}

// segmentHeader gives the octets of IP and transport headers that each segment had, and the octets of the hop-by-hop
// header that older kernels add to a merged IPv6 packet which is too long for its length field (ipv6_gro_complete in
// net/ipv6/ip6_offload.c): it was never on the wire.
func segmentHeader(p *flow.Packet, b []byte) (header, added uint64, ok bool) {
	at := int(b[0]&0xf) * 4
	if p.Version == 6 {
		at = ipv6Header
		for next := b[6]; isExtension(next); {
			if len(b) < at+extensionMin {
				return 0, 0, false
			}
			size := extensionSize(next, b[at+1])
			if next == headerHopByHop && at == ipv6Header && be16(b[4:6]) == 0 {
				added = uint64(size)
			}
			next, at = b[at], at+size
		}
	}
	header = uint64(at) - added
	switch {
	case p.Proto == flow.ProtoUDP:
		return header + udpHeader, added, true
	case p.Proto == flow.ProtoTCP && len(b) >= at+tcpFlagsSize:
		return header + uint64(b[at+12]>>4)*4, added, true
	default:
		return 0, 0, false
	}
}
