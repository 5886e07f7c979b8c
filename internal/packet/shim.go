package packet

import "flowsensor/internal/flow"

// EtherTypes of what switches put between Ethernet and IP, or around a whole Ethernet frame.
const (
	etherTRILL      layer = 0x22f3 // RFC 6325
	etherBackbone   layer = 0x88e7 // IEEE 802.1ah I-tag: provider backbone bridges
	etherMACsec     layer = 0x88e5 // IEEE 802.1AE
	etherFabricPath layer = 0x8903 // Cisco
	etherCMD        layer = 0x8909 // Cisco meta data: the security group tag of TrustSec
	etherHSR        layer = 0x892f // IEC 62439-3
	etherNSH        layer = 0x894f // RFC 8300
	etherArista     layer = 0xd28b // Arista's time stamps on mirrored frames
)

// Sizes of their headers behind the EtherType, in octets; what varies is added from the header itself.
const (
	trillHeader      = 6
	backboneTag      = 4
	macsecTag        = 6
	macsecSCI        = 8
	macsecICV        = 16
	fabricPathHeader = 2
	cmdHeader        = 8
	hsrTag           = 6
	nshHeader        = 4
	aristaHeader     = 4
	islHeader        = 26
)

// shim steps over one of these headers; any other EtherType ends the walk.
func (c *cursor) shim(t layer) (layer, Reason) {
	switch t {
	case etherCMD:
		return c.typed(cmdHeader)
	case etherHSR:
		return c.typed(hsrTag)
	case etherMACsec:
		return c.macsec()
	case etherNSH:
		return c.nsh()
	case etherArista:
		return c.arista()
	case etherFabricPath:
		return c.around(fabricPathHeader)
	case etherBackbone:
		return c.around(backboneTag)
	case etherTRILL:
		return c.trill()
	default:
		return 0, etherReason(t)
	}
}

// typed steps over a header of size octets that ends with an EtherType.
func (c *cursor) typed(size int) (layer, Reason) {
	if len(c.b) < size {
		return 0, LinkTruncated
	}
	t := be16(c.b[size-2:])
	c.skip(size)
	return c.typeOrLength(t)
}

// around steps over a header of size octets that carries a whole Ethernet frame.
func (c *cursor) around(size int) (layer, Reason) {
	if len(c.b) < size {
		return 0, LinkTruncated
	}
	c.skip(size)
	return layerEthernet, OK
}

// macsec steps over a security tag whose frame is protected, but neither encrypted nor altered.
func (c *cursor) macsec() (layer, Reason) {
	const (
		explicitSCI = 0x20
		encrypted   = 0x08
		changed     = 0x04
	)
	if len(c.b) < macsecTag {
		return 0, LinkTruncated
	}
	control, shortLength := c.b[0], int(c.b[1]&0x3f)
	if control&(encrypted|changed) != 0 {
		return 0, MACsec
	}
	size := macsecTag
	if control&explicitSCI != 0 {
		size += macsecSCI
	}
	if len(c.b) < size+2 {
		return 0, LinkTruncated
	}
	c.skip(size)
	if shortLength > 0 {
		c.trim(shortLength)
	} else {
		c.trim(max(0, c.wire-macsecICV))
	}
	return c.typed(2)
}

// nsh steps over a network service header: its length counts words of four octets.
func (c *cursor) nsh() (layer, Reason) {
	const (
		nextIPv4     = 1
		nextIPv6     = 2
		nextEthernet = 3
		nextMPLS     = 5
	)
	if len(c.b) < nshHeader {
		return 0, LinkTruncated
	}
	size, next := int(c.b[1]&0x3f)*4, c.b[3]
	if size < nshHeader {
		return 0, LinkHeader
	}
	if len(c.b) < size {
		return 0, LinkTruncated
	}
	c.skip(size)
	switch next {
	case nextIPv4:
		return etherIPv4, OK
	case nextIPv6:
		return etherIPv6, OK
	case nextEthernet:
		return layerEthernet, OK
	case nextMPLS:
		return etherMPLS, OK
	default:
		return 0, OtherEtherType
	}
}

// trill steps over a TRILL header and its options, counted in words of four octets.
func (c *cursor) trill() (layer, Reason) {
	if len(c.b) < trillHeader {
		return 0, LinkTruncated
	}
	options := int(be16(c.b)>>6&0x1f) * 4
	return c.around(trillHeader + options)
}

// arista steps over a time stamp header: subtype 1, version, then a stamp whose size follows from the switch's generation.
func (c *cursor) arista() (layer, Reason) {
	const (
		timestamp    = 1
		generation64 = 0x10
		generation48 = 0x20
	)
	if len(c.b) < aristaHeader {
		return 0, LinkTruncated
	}
	subtype, generation := be16(c.b), c.b[3]&0xf0
	switch {
	case subtype == timestamp && generation == generation64:
		return c.typed(aristaHeader + 8 + 2)
	case subtype == timestamp && generation == generation48:
		return c.typed(aristaHeader + 6 + 2)
	default:
		return 0, OtherEtherType
	}
}

// isISL tells a frame of Cisco's inter-switch link by its destination address, since it has a length where others have an
// EtherType. The caller has seen an Ethernet header's worth of octets.
func isISL(b []byte) bool {
	return (b[0] == 0x01 || b[0] == 0x0c) && b[1] == 0x00 && b[2] == 0x0c && b[3] == 0x00 && b[4] == 0x00
}

// isl steps over the 26 octets of an ISL header, which holds a VLAN id, to the frame within.
func (c *cursor) isl() (layer, Reason) {
	const vlanAt = 20
	if len(c.b) < islHeader {
		return 0, LinkTruncated
	}
	c.keep(flow.VLANFromTCI(be16(c.b[vlanAt:]) >> 1))
	return c.around(islHeader)
}
