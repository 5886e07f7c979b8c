package packet

import "flowsensor/internal/flow"

// IPv6 extension headers (IANA "IPv6 Extension Header Types"), without ESP: what follows it is encrypted.
const (
	headerHopByHop    = 0
	headerRouting     = 43
	headerFragment    = 44
	headerNone        = 59
	headerDestination = 60
	headerMobility    = 135
	headerHIP         = 139
	headerShim6       = 140
)

const (
	// maxExtensions bounds the walk. RFC 8200 has no use for more than 8, but packets with a hundred do get sent.
	maxExtensions = 128
	// maxOptions bounds the search for the jumbo payload option, which its alignment puts first.
	maxOptions   = 16
	extensionMin = 8 // octets: every extension header has at least as many
)

func isExtension(proto uint8) bool {
	switch proto {
	case headerHopByHop, headerRouting, headerFragment, headerDestination, flow.ProtoAH, headerMobility, headerHIP, headerShim6:
		return true
	default:
		return false
	}
}

// extensions follows the chain of extension headers that begins with p.Proto in b. It sets p.Proto to the first header that
// is none of them and gives what was captured from there on, false when the chain could not be followed to its end. At a
// later fragment it stops: what follows is not a header.
func extensions(p *flow.Packet, b []byte) (_ []byte, place fragment, followed bool) {
	for range maxExtensions {
		if !isExtension(p.Proto) {
			return b, place, true
		}
		kind := p.Proto
		if len(b) == 0 || kind == headerFragment && len(b) < extensionMin {
			break
		}
		p.Proto = b[0]
		if len(b) < extensionMin {
			b = nil
			continue
		}
		if kind == headerFragment {
			place = fragmentHeader(b, place)
			if place.position == laterFragment {
				return nil, place, true
			}
		}
		b = within(b, extensionSize(kind, b[1]), len(b))
	}
	return nil, place, false
}

// extensionSize is the size in octets of an extension header with that length field.
func extensionSize(kind, length uint8) int {
	switch kind {
	case headerFragment:
		return 8
	case flow.ProtoAH: // RFC 4302 counts words of four octets, less two
		return (int(length) + 2) * 4
	default:
		return (int(length) + 1) * 8
	}
}

// fragmentHeader reads a Fragment header (RFC 8200 section 4.5). One with offset 0 and no more to follow is an atomic
// fragment, a packet that is whole (RFC 6946), and leaves what an outer header said.
func fragmentHeader(b []byte, place fragment) fragment {
	const more = 1
	switch flags := be16(b[2:4]); {
	case flags>>3 != 0:
		return fragment{id: be32(b[4:8]), position: laterFragment}
	case flags&more != 0:
		return fragment{id: be32(b[4:8]), position: firstFragment}
	default:
		return place
	}
}

// jumboLength finds the jumbo payload option (RFC 2675) in the hop-by-hop options header at the front of b, and gives its
// length field, 0 where there is none.
func jumboLength(b []byte) int {
	const (
		pad1      = 0
		jumbo     = 0xc2
		jumboSize = 6
	)
	if len(b) < extensionMin {
		return 0
	}
	options := within(b, 2, extensionSize(headerHopByHop, b[1]))
	for range maxOptions {
		switch {
		case len(options) < 2:
			return 0
		case options[0] == pad1:
			options = options[1:]
		case options[0] == jumbo && options[1] == jumboSize-2 && len(options) >= jumboSize:
			return int(be32(options[2:]))
		default:
			options = within(options, 2+int(options[1]), len(options))
		}
	}
	return 0
}
