package packet

// EtherTypes that end a walk (IEEE registration authority).
const (
	etherARP         layer = 0x0806
	etherRARP        layer = 0x8035
	etherAppleTalk   layer = 0x809b
	etherAARP        layer = 0x80f3
	etherIPX         layer = 0x8137
	etherNovell      layer = 0x8138
	etherSlow        layer = 0x8809
	etherEAPOL       layer = 0x888e
	etherLLDP        layer = 0x88cc
	etherPTP         layer = 0x88f7
	etherCFM         layer = 0x8902
	etherLoopback    layer = 0x9000
	etherLoopbackOld layer = 0x0060
)

// IEEE 802.2 service access points and control.
const (
	sapIP      = 0x06
	sapSTP     = 0x42
	sapSNAP    = 0xaa
	sapIPX     = 0xe0
	sapNetBIOS = 0xf0
	sapOSI     = 0xfe
	sapRawIPX  = 0xff
	llcUI      = 0x03 // unnumbered information
)

// SNAP organisations and Cisco's protocols.
const (
	ouiEtherType    = 0x000000 // the protocol is an EtherType (RFC 1042)
	ouiBridgeTunnel = 0x0000f8 // the same across a bridge tunnel (IEEE 802.1H)
	ouiCisco        = 0x00000c
	ouiAppleTalk    = 0x080007
	ciscoCDP        = 0x2000
	ciscoPVST       = 0x010b
)

// PPP protocol numbers.
const (
	pppIPv4          = 0x0021
	pppIPv6          = 0x0057
	pppMPLS          = 0x0281
	pppMPLSMulticast = 0x0283
	pppControlMin    = 0x4000 // RFC 1661 section 2: network control protocols and above
)

// HDLC framing: the address octet, and the control octet of PPP.
const (
	hdlcAllStations    = 0xff
	hdlcUI             = 0x03
	hdlcCiscoUnicast   = 0x0f
	hdlcCiscoMulticast = 0x8f
)

// Address families of loopback headers: AF_INET is the same everywhere, AF_INET6 is not.
const (
	familyIPv4        = 2
	familyIPv6Linux   = 10
	familyIPv6BSD     = 24 // NetBSD, OpenBSD
	familyIPv6FreeBSD = 28
	familyIPv6Darwin  = 30
)

// Fields of the Linux cooked headers, and values that have no EtherType.
const (
	sllTypeAt      = 2
	sllProtocolAt  = 14
	sll2ProtocolAt = 0
	sll2TypeAt     = 8
	cookedLLC      = 4 // ETH_P_802_2 of linux/if_ether.h
	arphrdNetlink  = 824
)

func etherReason(t layer) Reason {
	switch t {
	case etherARP:
		return ARP
	case etherRARP:
		return RARP
	case etherAppleTalk, etherAARP:
		return AppleTalk
	case etherIPX, etherNovell:
		return IPX
	case etherSlow:
		return SlowProtocols
	case etherPPPoEDiscovery:
		return PPPoEDiscovery
	case etherMACsec:
		return MACsec
	case etherEAPOL:
		return EAPOL
	case etherLLDP:
		return LLDP
	case etherPTP:
		return PTP
	case etherCFM:
		return CFM
	case etherLoopback, etherLoopbackOld:
		return Loopback
	case layerUnknown:
		return LinkType
	default:
		return OtherEtherType
	}
}

func llcReason(dsap uint8) Reason {
	switch dsap {
	case sapSTP:
		return STP
	case sapOSI:
		return OSI
	case sapNetBIOS:
		return NetBIOS
	case sapIPX:
		return IPX
	default:
		return OtherLLC
	}
}

func snapReason(oui uint32, pid uint16) Reason {
	switch {
	case oui != ouiCisco:
		return OtherLLC
	case pid == ciscoCDP:
		return CDP
	case pid == ciscoPVST:
		return STP
	default:
		return CiscoControl
	}
}

func pppReason(protocol uint16) Reason {
	if protocol >= pppControlMin {
		return PPPControl
	}
	return OtherPPP
}
