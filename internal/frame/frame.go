package frame

import (
	"fmt"

	"flowsensor/internal/flow"
)

// Frame is one captured frame. Data is borrowed from the source: it is valid only until the function it was passed to
// returns.
type Frame struct {
	// Data is what was captured, from the link-layer header on.
	Data []byte
	// Time is the capture time in nanoseconds since the Unix epoch.
	Time int64
	// Len is the frame's length on the wire in octets, at least len(Data), without a tag that the kernel stripped.
	Len uint32
	// IfIndex is the interface it came in on. Capture files: pcapng's interface id, counted on over the sections of a file;
	// 0 for pcap.
	IfIndex uint32
	// VLAN is the outermost tag where the kernel stripped it from Data, absent otherwise.
	VLAN flow.VLAN
	// SegmentSize is set where the kernel merged segments into this frame: the payload octets of each of them, the last one
	// excepted, which may have fewer. 0 is a frame as it was on the wire, or one of which nothing is known.
	SegmentSize uint16
	// SegmentProto is the transport protocol of the merged segments, by its IP protocol number.
	SegmentProto uint8
	// Link is how Data begins.
	Link LinkType
}

// LinkType is a link-layer header type, numbered as the pcap file format does (https://www.tcpdump.org/linktypes.html).
type LinkType uint32

// The link types the decoder knows.
const (
	Null     LinkType = 0   // BSD loopback, host byte order
	Ethernet LinkType = 1   // IEEE 802.3
	PPP      LinkType = 9   // PPP, with or without HDLC framing
	RawOpen  LinkType = 12  // raw IP under the number of most systems' DLT_RAW
	RawBSD   LinkType = 14  // raw IP under OpenBSD's DLT_RAW
	PPPHDLC  LinkType = 50  // PPP in HDLC-like framing
	PPPoE    LinkType = 51  // PPPoE session packets
	Raw      LinkType = 101 // raw IP, version by the first nibble
	Loop     LinkType = 108 // OpenBSD loopback, network byte order
	SLL      LinkType = 113 // Linux cooked capture v1
	IPv4     LinkType = 228 // raw IPv4
	IPv6     LinkType = 229 // raw IPv6
	SLL2     LinkType = 276 // Linux cooked capture v2
)

var linkNames = map[LinkType]string{
	Null: "NULL", Ethernet: "EN10MB", PPP: "PPP", RawOpen: "RAW", RawBSD: "RAW", PPPHDLC: "PPP_SERIAL", PPPoE: "PPP_ETHER",
	Raw: "RAW", Loop: "LOOP", SLL: "LINUX_SLL", IPv4: "IPV4", IPv6: "IPV6", SLL2: "LINUX_SLL2",
}

// Known reports whether the decoder understands l.
func (l LinkType) Known() bool {
	_, ok := linkNames[l]
	return ok
}

// String gives the name that tcpdump -L prints (the DLT name without its prefix), or the number.
func (l LinkType) String() string {
	if name, ok := linkNames[l]; ok {
		return name
	}
	return fmt.Sprintf("link type %d", uint32(l))
}
