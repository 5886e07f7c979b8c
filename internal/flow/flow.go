package flow

// Protocol numbers (IANA) that the stages treat by name.
const (
	ProtoICMP   = 1
	ProtoIGMP   = 2
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoGRE    = 47
	ProtoESP    = 50
	ProtoAH     = 51
	ProtoICMPv6 = 58
	ProtoSCTP   = 132
)

// Key is what makes packets one flow: the seven key fields (source and destination address and port, protocol, ToS and
// input interface), the IP version, and the VLAN ids where the configuration adds them to the key (otherwise both are
// absent here and stand in the record only). It is comparable and free of pointers.
type Key struct {
	Src, Dst  Addr
	IfIndex   uint32 // of the interface the packet came in on; 0 when unknown
	SrcPort   uint16 // 0 for protocols without ports
	DstPort   uint16 // ICMP and ICMPv6: type*256 + code, the NetFlow convention
	VLAN      VLAN
	VLANInner VLAN
	Proto     uint8 // first header that is not an IPv6 extension header
	ToS       uint8 // IPv4 ToS byte, IPv6 traffic class
	Version   uint8 // 4 or 6
}

// VLAN is an 802.1Q VLAN id that may be absent; VLAN id 0 (a priority tag) is present. The zero value is absent.
type VLAN uint16

const vlanPresent VLAN = 1 << 15

// VLANFromTCI keeps the VLAN id of a tag control information field: the low 12 bits, without priority and DEI.
func VLANFromTCI(tci uint16) VLAN { return VLAN(tci)&0xfff | vlanPresent }

// ID gives the VLAN id, and false where there is none.
func (v VLAN) ID() (id uint16, ok bool) { return uint16(v & 0xfff), v&vlanPresent != 0 }

// TCP flags as they stand in the low twelve bits of the header's data offset word (RFC 9293; AE is RFC 9768).
const (
	FIN uint16 = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE
)

// Handshake bits: what a flow's packets said of who opened the connection.
const (
	// SawSYN is set once a SYN without ACK was seen: the source is the client.
	SawSYN uint8 = 1 << iota
	// SawSYNACK is set once a SYN with ACK was seen: the source is the server.
	SawSYNACK
)

// HandshakeOf gives the handshake bits of one TCP segment's flags.
func HandshakeOf(tcpFlags uint16) uint8 {
	switch tcpFlags & (SYN | ACK) {
	case SYN:
		return SawSYN
	case SYN | ACK:
		return SawSYNACK
	default:
		return 0
	}
}

// Packet is what one captured packet adds to its flow.
type Packet struct {
	Key
	// Time of the packet in nanoseconds, in the time base of the table it goes to.
	Time int64
	// Bytes is the IP header's own length field (IPv6: 40 + payload length), in octets.
	Bytes uint64
	// Packets on the wire: 1, more where the kernel merged segments and says how many.
	Packets uint32
	// TCPFlags of this segment, twelve bits; 0 for other protocols and for fragments without a TCP header.
	TCPFlags uint16
	// VLAN and VLANInner are the outermost two tags, whether or not they are part of the key.
	VLAN, VLANInner VLAN
	// Fragment is set for a part of a fragmented datagram, the first one too.
	Fragment bool
}
