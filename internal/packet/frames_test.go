package packet_test

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"flowsensor/internal/frame"
)

// Frames are put together from the pieces below, outermost first: join(ethernet, etherIPv4, v4{...}.wrap(udp)).

// octets reads hexadecimal text; blanks set the fields apart.
func octets(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func join(pieces ...[]byte) []byte { return slices.Concat(pieces...) }

func u16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func u32(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }

func zeros(n int) []byte { return make([]byte, n) }

// Link headers. An EtherType closes each of them, as a piece of its own.
var (
	ethernet = octets("02 00 00 00 00 02" + "02 00 00 00 00 01") // destination, source

	tag10   = octets("8100 000a") // 802.1Q, VLAN 10
	tag20   = octets("8100 e014") // 802.1Q, priority 7, VLAN 20
	tag30   = octets("8100 001e")
	tag0    = octets("8100 6000") // 802.1Q, priority 3, VLAN 0
	service = octets("88a8 0064") // 802.1ad, VLAN 100
	tag9100 = octets("9100 00c8")
	tag9200 = octets("9200 00c9")
	tag9300 = octets("9300 00ca")

	labels2    = octets("8847" + "00010 0 40" + "00020 1 3f") // EtherType, label 16, label 32 with bottom of stack
	labelUp    = octets("8848" + "00010 1 40")
	explicit0  = octets("8847" + "00000 1 40")
	control    = octets("0000 0001")                    // pseudo-wire control word
	channel    = octets("1000 0021")                    // associated channel header: first nibble 1
	pppoe      = octets("8864" + "11 00 002a")          // EtherType, version and type, session, id; the length follows
	pppoeDisc  = octets("8863" + "11 09 0000 0004")     // discovery: PADI
	pppIPv4    = octets("0021")                         // PPP protocol
	pppIPv6    = octets("0057")                         //
	pppMPLS    = octets("0281" + "00010 1 40")          // and a label
	pppLCP     = octets("c021" + "09 01 0008 00000000") // echo request
	hdlcFront  = octets("ff 03")                        // address, control
	ciscoHDLC  = octets("0f 00")                        // address, control; an EtherType follows
	snap       = octets("aa aa 03" + "000000")          // LLC, organisation: an EtherType follows
	snapBridge = octets("aa aa 03" + "0000f8")          // bridge tunnel
	snapCisco  = octets("aa aa 03" + "00000c")          // Cisco: a protocol follows
	llcIP      = octets("06 06 03")
	llcSTP     = octets("42 42 03")
	llcOSI     = octets("fe fe 03")
	llcNetBIOS = octets("f0 f0 03")
	llcIPX     = octets("e0 e0 03")
	rawIPX     = octets("ff ff 0022 00 11")
	llcTest    = octets("aa aa f3" + "000000 0800") // SNAP, but a test command

	sllFront  = octets("0004" + "0001" + "0006" + "020000000001 0000") // outgoing, Ethernet, address; protocol follows
	sllNet    = octets("0000" + "0338" + "0000" + "0000000000000000")  // a netlink socket
	sll2Front = octets("0000 00000003 0001 04 06" + "020000000001 0000")

	cmd        = octets("8909" + "01 01 0001 0017") // Cisco meta data: version, length, option, security group
	hsr        = octets("892f" + "0 034" + "0001")  // path, size, sequence number
	macsecOnly = octets("88e5" + "00 00 00000001")  // protected, not encrypted
	macsecSCI  = octets("88e5" + "20 00 00000001" + "020000000001 0001")
	macsecFull = octets("88e5" + "0c 00 00000001")          // encrypted
	nshIPv4    = octets("894f" + "0fc2 0201" + "000001 ff") // two words, MD type 2, next protocol
	nshIPv6    = octets("894f" + "0fc2 0202" + "000001 ff") //
	nshEther   = octets("894f" + "0fc2 0203" + "000001 ff") //
	fabricPath = octets("8903" + "0420")                    // tree and TTL
	backbone   = octets("88e7" + "00000001")                // I-tag
	trill      = octets("22f3" + "003f" + "0001" + "0002")  // no options, egress and ingress nickname
	trillOpt   = octets("22f3" + "007f" + "0001" + "0002" + "00000000")
	arista64   = octets("d28b" + "0001 0010" + "5ceeed57 384f59c8")
	arista48   = octets("d28b" + "0001 0120" + "ed95 18152474")
	isl        = octets("01000c0000 00" + "020000000001" + "0060" + "aaaa03 00000c" + "00 2a" + "0000 0000") // VLAN 21

	etherIPv4 = octets("0800")
	etherIPv6 = octets("86dd")
)

// Addresses.
var (
	src4 = octets("c0000201") // 192.0.2.1
	dst4 = octets("c6336407") // 198.51.100.7
	src6 = octets("20010db8 00000000 00000000 00000001")
	dst6 = octets("20010db8 00000000 00000000 00000002")
)

// Transport headers, whole: ports 40000 and 443 where there are any.
var (
	portPair   = octets("9c40 01bb")
	tcpSYN     = join(portPair, octets("00000001 00000000 5 002 ffff 0000 0000"))
	tcpAll     = join(portPair, octets("00000001 00000000 5 fff ffff 0000 0000"))
	tcpNoise   = join(portPair, octets("00000001 00000000 4 fff ffff 0000 0000")) // data offset below its least
	udp        = join(portPair, octets("0010 0000"), zeros(8))
	udpLite    = join(portPair, octets("0008 0000"), zeros(8))
	sctp       = join(portPair, octets("00000000 00000000"), octets("0a 00 0004"))
	dccp       = join(portPair, octets("04 00 0000 0100 0001"), zeros(8))
	icmpEcho   = octets("08 00 0000 0001 0001")
	icmpUnreac = octets("03 04 0000 0000 05dc")
	icmpv6Echo = octets("80 00 0000 0001 0001")
	igmp       = octets("22 00 0000 0000 0000")
	gre        = octets("0000 0800")
	esp        = octets("00000100 00000001 00000000 00000000")
	ospf       = octets("0201 0010 00000001 00000000 0000 0000")
)

// ip builds an IPv4 or IPv6 header; zero fields are those of a plain packet.
type ip struct {
	version int
	proto   int
	tos     int
	id      int
	flags   int    // IPv4: the word of flags and fragment offset
	options []byte // IPv4, in whole words
	length  int    // of the header's length field; 0: the right one
	noLen   bool   // the field is 0
	chain   []byte // IPv6: extension headers, whose first one is proto
}

// wrap puts the header in front of its payload.
func (h ip) wrap(payload ...[]byte) []byte {
	body := join(h.chain, join(payload...))
	length := h.length
	if h.version == 4 {
		if length == 0 && !h.noLen {
			length = 20 + len(h.options) + len(body)
		}
		word := 0x4500 + len(h.options)/4<<8 + h.tos
		return join(u16(word), u16(length), u16(h.id), u16(h.flags), []byte{64, byte(h.proto)}, zeros(2), src4, dst4, h.options, body)
	}
	if length == 0 && !h.noLen {
		length = len(body)
	}
	return join(u32(0x60000000+h.tos<<20), u16(length), []byte{byte(h.proto), 64}, src6, dst6, body)
}

func (h ip) etherType() []byte {
	if h.version == 4 {
		return etherIPv4
	}
	return etherIPv6
}

// pppType is the PPP protocol number.
func (h ip) pppType() []byte {
	if h.version == 4 {
		return pppIPv4
	}
	return pppIPv6
}

// nsh is a network service header whose next protocol is IP.
func (h ip) nsh() []byte {
	if h.version == 4 {
		return nshIPv4
	}
	return nshIPv6
}

// family is the address family on Darwin.
func (h ip) family() byte {
	if h.version == 4 {
		return 2
	}
	return 30
}

// inEthernet puts link header pieces and the EtherType in front of the packet.
func (h ip) inEthernet(payload ...[]byte) []byte {
	return join(ethernet, h.etherType(), h.wrap(payload...))
}

// length802 puts its own length in front of an IEEE 802.3 payload.
func length802(pieces ...[]byte) []byte {
	b := join(pieces...)
	return join(u16(len(b)), b)
}

// inPPPoE puts the PPPoE length in front of a session's payload.
func inPPPoE(pieces ...[]byte) []byte {
	b := join(pieces...)
	return join(pppoe, u16(len(b)), b)
}

// extension builds an IPv6 extension header of eight octets and more.
func extension(next int, content []byte) []byte {
	return join([]byte{byte(next), byte((len(content)+2)/8 - 1)}, content)
}

// fragment builds a Fragment header; offset in units of eight octets.
func fragment(next, offset, more, id int) []byte {
	return join([]byte{byte(next), 0}, u16(offset<<3|more), u32(id))
}

func on(link frame.LinkType, b []byte) frame.Frame {
	return frame.Frame{Data: b, Len: uint32(len(b)), Link: link, IfIndex: 7, Time: 1_700_000_000_000_000_000}
}
