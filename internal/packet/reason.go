package packet

import "fmt"

// Reason says why a frame is not accounted; OK says that it is. It indexes Stats.Refused, and its String is a metric label.
type Reason uint8

// The reasons. First what is not IP, by protocol; then what could not be read, by layer.
const (
	OK Reason = iota

	ARP
	RARP
	LLDP
	CDP
	CiscoControl // VTP, DTP, UDLD, PAgP and their like
	STP          // also PVST+
	EAPOL
	SlowProtocols // LACP, marker, OAM
	Loopback      // configuration test protocol, EtherType 0x9000
	PPPoEDiscovery
	PPPControl // LCP, NCPs, authentication: PPP protocol numbers from 0x4000
	OtherPPP
	OSI // IS-IS, ES-IS, CLNP
	NetBIOS
	IPX
	AppleTalk
	CFM
	PTP
	MACsec // encrypted or altered: what was protected only is decoded
	OtherMPLS
	OtherLLC
	OtherEtherType
	OtherFamily // of a loopback link type

	LinkType      // a link type that the decoder does not know
	LinkTruncated // the capture, or a link header's own length, ends within the link headers
	LinkHeader    // a link header breaks its own rules
	LinkDepth     // more link headers, tags or labels than anyone stacks
	IPVersion     // announced as IP, but the version is another
	IPv4Truncated // the capture ends within the 20 octets
	IPv4Header    // the header length is below 20 octets, or the total length below the header length
	IPv6Truncated // the capture ends within the 40 octets

	reasonCount
)

var reasonNames = [reasonCount]string{
	OK: "ok", ARP: "arp", RARP: "rarp", LLDP: "lldp", CDP: "cdp", CiscoControl: "cisco_control", STP: "stp", EAPOL: "eapol",
	SlowProtocols: "slow_protocols", Loopback: "loopback", PPPoEDiscovery: "pppoe_discovery", PPPControl: "ppp_control",
	OtherPPP: "other_ppp", OSI: "osi", NetBIOS: "netbios", IPX: "ipx", AppleTalk: "appletalk", CFM: "cfm", PTP: "ptp",
	MACsec: "macsec", OtherMPLS: "other_mpls", OtherLLC: "other_llc", OtherEtherType: "other_ethertype",
	OtherFamily: "other_family", LinkType: "link_type", LinkTruncated: "link_truncated", LinkHeader: "link_header",
	LinkDepth: "link_depth", IPVersion: "ip_version", IPv4Truncated: "ipv4_truncated", IPv4Header: "ipv4_header",
	IPv6Truncated: "ipv6_truncated",
}

func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Note is what was noteworthy in a frame that is accounted all the same. It indexes Stats.Notes.
type Note uint8

// The notes.
const (
	// NoteFragmentUnmatched counts later fragments whose first one is not known: they have the ports 0.
	NoteFragmentUnmatched Note = iota
	// NoteFragmentEvicted counts first fragments that had to leave the full table before their time.
	NoteFragmentEvicted
	// NotePortsTruncated counts packets whose ports, type or TCP flags lie beyond what was captured, or beyond the packet.
	NotePortsTruncated
	// NoteExtensionCut counts IPv6 packets whose chain of extension headers could not be followed to its end: the protocol
	// is then the number of the header that could not be read.
	NoteExtensionCut
	// NoteLengthFromFrame counts packets without a length of their own, or with that of a jumbogram which is longer than its
	// frame: the frame's is counted.
	NoteLengthFromFrame
	// NoteMergedUnresolved counts packets merged from segments that stay one packet, for their headers are inside a tunnel.
	NoteMergedUnresolved

	noteCount
)

var noteNames = [noteCount]string{
	"fragment_unmatched", "fragment_evicted", "ports_truncated", "extension_cut", "length_from_frame",
	"merged_unresolved",
}

func (n Note) String() string {
	if n < noteCount {
		return noteNames[n]
	}
	return fmt.Sprintf("Note(%d)", uint8(n))
}
