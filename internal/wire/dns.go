package wire

import "flowsensor/internal/flow"

// The body of a DNS datagram, coding 0. Numbers are as in a flows body, and so are coding, boot, seq, floor and base, which
// come first; then:
//
//	answers     number of them, 1 to MaxAnswers
//
// and for each answer:
//
//	shape       1 octet: see below
//	client      unless it is the one of the answer before: 4 octets, 16 with dnsIPv6
//	server      likewise
//	rcode       with dnsRCode
//	qtype       with dnsQType; otherwise it is A, or AAAA with dnsAAAA
//	time        signed, us: to the answer before (to 0 for the first one)
//	question    see below
//	chain       with dnsChain: number of names, 1 to 8, and the names
//	addresses   number of them, 0 to 16, then for each: 0 for a time to live and a version as the address before it, or
//	            1 + 2*time to live + (1 for IPv6); then 4 or 16 octets
//
// A name is coded as the end of one that came before it in the batch, and what stands in front of that:
//
//	front       number of octets, and these; they end with a dot when another name's end follows
//	distance    0: nothing follows; otherwise back to another name, in names
//	skip        unless distance is 0: octets of that name to leave out, none or up to behind a dot
const (
	dnsIPv6       = 1 << iota // client and server are IPv6
	dnsSameClient             // as in the answer before, which is of the same version
	dnsSameServer
	dnsRCode
	dnsQType
	dnsAAAA
	dnsChain
	dnsShapes // beyond all of them
)

// Bounds of a DNS body.
const (
	// MinDNSBody is a limit under which an answer may not fit even into an empty batch.
	MinDNSBody = 960
	// MaxAnswers is the most answers one batch holds.
	MaxAnswers = 1024

	// minAnswer is the shortest answer: shape, time, a name that is known, no address.
	minAnswer = 6
)

const (
	qtypeA    = 1
	qtypeAAAA = 28
)

func dnsShape(a, before *flow.DNSAnswer) uint8 {
	var s uint8
	if a.Version == 6 {
		s |= dnsIPv6
	}
	if a.Version == before.Version {
		if a.Client == before.Client {
			s |= dnsSameClient
		}
		if a.Server == before.Server {
			s |= dnsSameServer
		}
	}
	if a.RCode != 0 {
		s |= dnsRCode
	}
	switch a.QType {
	case qtypeA:
	case qtypeAAAA:
		s |= dnsAAAA
	default:
		s |= dnsQType
	}
	if len(a.Chain) > 0 {
		s |= dnsChain
	}
	return s
}
