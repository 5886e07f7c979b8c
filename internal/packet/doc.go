// Package packet decodes one captured frame into the flow key, the octets and the TCP flags that it adds to its flow.
//
// A worker owns one Decoder and calls Decode for every frame, on one goroutine; Stats alone may be called from any other.
// Decode keeps no reference to the frame, allocates nothing, takes no lock and reads no clock: its only memory is the
// bounded table that joins later fragments to the ports of their first one, aged by the frames' own time. There is nothing
// to close.
//
// What is accounted. A frame is accounted as soon as its IP header is whole: 20 octets of IPv4, 40 of IPv6. What stands
// behind the header may be cut by the snap length or lie about its length; the flow then has the ports 0, no TCP flags, or
// the last protocol number that was seen, and a Note counts it. Every other frame is refused for one Reason, counted with
// its octets, so that frames = accounted + refused.
//
// The key. The protocol is the first header that is not an IPv6 extension header: hop-by-hop options, routing, fragment,
// destination options, AH, mobility, HIP and Shim6 are walked, ESP is not. Behind IPv4 every number is a protocol, AH too.
// TCP, UDP, DCCP, SCTP and UDP-Lite have ports; ICMP and ICMPv6 have type*256+code as destination port; every other protocol
// has the ports 0. The outermost IP header counts: what a tunnel carries is not looked at.
//
// The octets are the IP header's own length field (IPv6: 40 + payload length, or the jumbo payload option), whatever was
// captured. Where the field is 0 because a network card was to cut the segments, and where the option says more than the
// frame had, they are those of the frame without its link headers.
//
// Fragments count for what they carry. A first fragment has the ports; later ones (RFC 791, RFC 8200 section 4.5) take ports
// and protocol from the table where their first fragment was seen at most 30 s before, otherwise they have the ports 0. Each
// keeps its own ToS byte and has no TCP flags.
//
// VLAN tags, MPLS labels, PPPoE, LLC/SNAP and the tags of switches that put something between Ethernet and IP are stepped
// over. Ethernet inside MPLS is not IP here: nothing in the frame tells it from other payloads for sure.
package packet
