package packet

import (
	"encoding/binary"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// layer says what the next header is: an EtherType, or one of the kinds below that have none.
type layer uint32

const (
	layerEthernet layer = 1<<16 + iota
	layerLLC
	layerPPP     // behind the protocol field's front: address and control are gone
	layerHDLC    // PPP that may begin with address and control
	layerPPPoE   // session packets as a link type of their own
	layerIP      // version by the first nibble
	layerNull    // BSD loopback
	layerSLL     // Linux cooked capture
	layerSLL2    // the same, version 2
	layerUnknown // a link type that is not known
)

// EtherTypes that are stepped over or end at IP; those that end elsewhere are in nonip.go.
const (
	etherIPv4           layer = 0x0800
	etherIPv6           layer = 0x86dd
	etherVLAN           layer = 0x8100 // IEEE 802.1Q C-tag
	etherServiceVLAN    layer = 0x88a8 // IEEE 802.1ad S-tag
	etherVLAN9100       layer = 0x9100 // QinQ before 802.1ad, by several vendors
	etherVLAN9200       layer = 0x9200
	etherVLAN9300       layer = 0x9300
	etherMPLS           layer = 0x8847
	etherMPLSUpstream   layer = 0x8848
	etherPPPoEDiscovery layer = 0x8863
	etherPPPoE          layer = 0x8864
	etherTypeMin              = 0x0600 // smaller values are lengths (IEEE 802.3 clause 3.2.6)
	lengthMax                 = 1500
)

// Sizes of fixed headers, in octets.
const (
	etherHeader = 14
	vlanHeader  = 4
	mplsLabel   = 4
	pppoeHeader = 6
	llcHeader   = 3
	snapHeader  = 5
	nullHeader  = 4
	sllHeader   = 16
	sll2Header  = 20
)

const (
	maxLinkHeaders = 16
	maxLabels      = 32
)

func layerOf(l frame.LinkType) layer {
	switch l {
	case frame.Ethernet:
		return layerEthernet
	case frame.Null, frame.Loop:
		return layerNull
	case frame.PPP, frame.PPPHDLC:
		return layerHDLC
	case frame.PPPoE:
		return etherPPPoE
	case frame.RawOpen, frame.RawBSD, frame.Raw, frame.IPv4:
		return layerIP
	case frame.IPv6:
		return etherIPv6
	case frame.SLL:
		return layerSLL
	case frame.SLL2:
		return layerSLL2
	default:
		return layerUnknown
	}
}

// walk steps over the link headers until the next one is IP: it gives etherIPv4, etherIPv6 or layerIP, or why there is none.
func (c *cursor) walk(next layer) (layer, Reason) {
	for range maxLinkHeaders {
		r := OK
		switch next {
		case etherIPv4, etherIPv6, layerIP:
			return next, OK
		case etherVLAN, etherServiceVLAN, etherVLAN9100, etherVLAN9200, etherVLAN9300:
			next, r = c.tag()
		case etherMPLS, etherMPLSUpstream:
			next, r = c.labels()
		case etherPPPoE:
			next, r = c.pppoe()
		case layerEthernet:
			next, r = c.ethernet()
		case layerLLC:
			next, r = c.llc()
		case layerHDLC:
			next, r = c.hdlc()
		case layerPPP:
			next, r = c.ppp()
		case layerNull:
			next, r = c.null()
		case layerSLL:
			next, r = c.cooked(sllHeader, sllProtocolAt, sllTypeAt)
		case layerSLL2:
			next, r = c.cooked(sll2Header, sll2ProtocolAt, sll2TypeAt)
		default:
			next, r = c.shim(next)
		}
		if r != OK {
			return next, r
		}
	}
	return next, LinkDepth
}

func (c *cursor) ethernet() (layer, Reason) {
	if len(c.b) < etherHeader {
		return 0, LinkTruncated
	}
	t := be16(c.b[12:14])
	if t < etherTypeMin && isISL(c.b) {
		return c.isl()
	}
	c.skip(etherHeader)
	return c.typeOrLength(t)
}

// typeOrLength reads the field that is an EtherType or the length of an LLC frame, whose padding ends there.
func (c *cursor) typeOrLength(t uint16) (layer, Reason) {
	switch {
	case t >= etherTypeMin:
		return layer(t), OK
	case t <= lengthMax:
		c.trim(int(t))
		return layerLLC, OK
	default:
		return 0, LinkHeader
	}
}

// tag steps over a VLAN tag and keeps the first two.
func (c *cursor) tag() (layer, Reason) {
	if len(c.b) < vlanHeader {
		return 0, LinkTruncated
	}
	c.keep(flow.VLANFromTCI(be16(c.b)))
	t := be16(c.b[2:])
	c.skip(vlanHeader)
	return c.typeOrLength(t)
}

func (c *cursor) keep(v flow.VLAN) {
	switch {
	case c.vlan == 0:
		c.vlan = v
	case c.vlanInner == 0:
		c.vlanInner = v
	}
}

// labels steps over an MPLS label stack (RFC 3032). Nothing says what follows; by RFC 4928 a first nibble of 4 or 6 is IP,
// everything else is not: control words, associated channels, Ethernet.
func (c *cursor) labels() (layer, Reason) {
	for range maxLabels {
		if len(c.b) < mplsLabel {
			return 0, LinkTruncated
		}
		bottom := c.b[2]&1 != 0
		c.skip(mplsLabel)
		if !bottom {
			continue
		}
		if len(c.b) == 0 {
			return 0, LinkTruncated
		}
		if version := c.b[0] >> 4; version != 4 && version != 6 {
			return 0, OtherMPLS
		}
		return layerIP, OK
	}
	return 0, LinkDepth
}

// pppoe steps over a PPPoE session header (RFC 2516), beyond whose length there is padding.
func (c *cursor) pppoe() (layer, Reason) {
	if len(c.b) < pppoeHeader {
		return 0, LinkTruncated
	}
	code, length := c.b[1], int(be16(c.b[4:]))
	c.skip(pppoeHeader)
	if code != 0 {
		return 0, PPPoEDiscovery
	}
	c.trim(length)
	return layerPPP, OK
}

// llc reads an IEEE 802.2 header, and SNAP where it follows.
func (c *cursor) llc() (layer, Reason) {
	if len(c.b) < llcHeader {
		return 0, LinkTruncated
	}
	dsap, ssap, control := c.b[0], c.b[1], c.b[2]
	if dsap == sapRawIPX && ssap == sapRawIPX {
		return 0, IPX // Novell's "raw 802.3": no LLC header at all
	}
	if control != llcUI {
		return 0, llcReason(dsap)
	}
	c.skip(llcHeader)
	switch {
	case dsap == sapSNAP && ssap == sapSNAP:
		return c.snap()
	case dsap == sapIP:
		return layerIP, OK
	default:
		return 0, llcReason(dsap)
	}
}

func (c *cursor) snap() (layer, Reason) {
	if len(c.b) < snapHeader {
		return 0, LinkTruncated
	}
	oui, pid := be32(c.b)>>8, be16(c.b[3:])
	c.skip(snapHeader)
	switch oui {
	case ouiEtherType, ouiBridgeTunnel, ouiAppleTalk:
		return layer(pid), OK
	default:
		return 0, snapReason(oui, pid)
	}
}

// hdlc steps over what may stand in front of a PPP protocol field on a serial line: address and control (RFC 1662), or the
// header of Cisco HDLC, which has an EtherType.
func (c *cursor) hdlc() (layer, Reason) {
	if len(c.b) < 4 {
		return 0, LinkTruncated
	}
	switch c.b[0] {
	case hdlcAllStations:
		c.skip(2)
	case hdlcCiscoUnicast, hdlcCiscoMulticast:
		t := be16(c.b[2:])
		c.skip(4)
		return layer(t), OK
	}
	return layerPPP, OK
}

// ppp reads the protocol field, one octet where it is compressed (RFC 1661 section 6.5).
func (c *cursor) ppp() (layer, Reason) {
	if len(c.b) < 2 {
		return 0, LinkTruncated
	}
	protocol, size := be16(c.b), 2
	if c.b[0]&1 != 0 {
		protocol, size = uint16(c.b[0]), 1
	}
	c.skip(size)
	switch protocol {
	case pppIPv4:
		return etherIPv4, OK
	case pppIPv6:
		return etherIPv6, OK
	case pppMPLS, pppMPLSMulticast:
		return etherMPLS, OK
	default:
		return 0, pppReason(protocol)
	}
}

// null reads what stands in front of a packet of a loopback. BSD systems put a 32-bit address family there, in the byte
// order of the host or, on OpenBSD, of the network; others put a 16-bit family into one half of it, an EtherType, or PPP.
// Families are small, so what it is shows by where the zeros stand; the reading is that of Wireshark's packet-null.c.
func (c *cursor) null() (layer, Reason) {
	const familyBound = 0x0600
	if len(c.b) < nullHeader {
		return 0, LinkTruncated
	}
	if c.b[0] == hdlcAllStations && c.b[1] == hdlcUI {
		return layerHDLC, OK
	}
	family := binary.LittleEndian.Uint32(c.b)
	switch high, low := family>>16, family&0xffff; {
	case high == 0 && low&0xff == 0 && low < familyBound:
		family = low >> 8
	case high == 0:
	case high < familyBound>>8:
		family = high
	default:
		family = be32(c.b)
	}
	c.skip(nullHeader)
	if family > lengthMax {
		return layer(family & 0xffff), OK
	}
	switch family {
	case familyIPv4:
		return etherIPv4, OK
	case familyIPv6Linux, familyIPv6BSD, familyIPv6FreeBSD, familyIPv6Darwin:
		return etherIPv6, OK
	default:
		return 0, OtherFamily
	}
}

// cooked reads a Linux cooked header of size octets.
func (c *cursor) cooked(size, protocolAt, typeAt int) (layer, Reason) {
	if len(c.b) < size {
		return 0, LinkTruncated
	}
	protocol, hardware := be16(c.b[protocolAt:]), be16(c.b[typeAt:])
	c.skip(size)
	switch {
	case hardware == arphrdNetlink:
		return 0, OtherFamily
	case protocol >= etherTypeMin:
		return layer(protocol), OK
	case protocol == cookedLLC:
		return layerLLC, OK
	default:
		return 0, OtherEtherType
	}
}
