package attribute

import (
	"math/bits"

	"github.com/gaissmai/bart"

	"flowsensor/internal/flow"
)

// firstHighPort is the first port that needs listing to be a service class of its own (RFC 6335: behind the system ports).
const firstHighPort = 1024

// Rules are compiled networks and rules. They are immutable: any number of goroutines may use them.
//
// Which rule comes first is found without trying them one by one (the bit vectors of Lakshman and Stiliadis, 1998): for
// each network and for each listed port there is a row with a bit for each rule that matches there; the lowest bit that
// the rows of a record have in common is the first rule that matches.
type Rules struct {
	prefixes   *bart.Fast[flow.NetworkID]
	networks   flow.Networks
	directions [4]flow.Direction // by destination ours (bit 0) and source ours (bit 1)

	halves []half
	words  int // of a row
	// Rows by network id and by portRow.
	sources, destinations         []uint64
	sourcePorts, destinationPorts []uint64
	always, handshakes            []uint64 // a row each
	portRow                       [ports]uint16
	services                      [ports / wordBits]uint64 // bit set of the listed service ports
}

// half is a rule as it applies to records of one direction.
type half struct {
	action       Action
	drop         bool
	client, port Side
	tie          Side // which side serves where the ports do not say: tie or precedence
}

// Networks lists the networks by the ids that Attribute gives.
func (r *Rules) Networks() flow.Networks { return r.networks }

// Attribute fills in out for the record. The fields of origins and names are emptied.
func (r *Rules) Attribute(rec *flow.Record, out *flow.Attribution) {
	src, _ := r.prefixes.Lookup(rec.Src.Netip(rec.Version))
	dst, _ := r.prefixes.Lookup(rec.Dst.Netip(rec.Version))
	e := ends{src: rec.Src, dst: rec.Dst, opener: opener(rec)}
	if hasPorts(rec.Proto) {
		e.srcPort, e.dstPort = rec.SrcPort, rec.DstPort
	}
	v := r.judge(&e, src, dst)

	*out = flow.Attribution{} // and then field by field: a composite literal is built aside and copied
	out.Client, out.Server = rec.Src, rec.Dst
	out.ClientNetwork, out.ServerNetwork, out.ClientPort = src, dst, e.srcPort
	if v.server == Source {
		out.Client, out.Server = rec.Dst, rec.Src
		out.ClientNetwork, out.ServerNetwork, out.ClientPort = dst, src, e.dstPort
		out.FromServer = true
	}
	out.ServicePort, out.Class = v.port, r.Class(v.port)
	out.Direction = r.direction(src, dst)
	out.Evidence, out.Drop = v.evidence, v.drop
}

// Class gives the class of a service port.
func (r *Rules) Class(port uint16) flow.ServiceClass {
	if port < firstHighPort || r.services[port/wordBits]>>(port%wordBits)&1 != 0 {
		return flow.ServiceClass(port)
	}
	return flow.ClassHigh
}

func (r *Rules) direction(src, dst flow.NetworkID) flow.Direction {
	i := 0
	if r.networks[dst].Ours {
		i |= 1
	}
	if r.networks[src].Ours {
		i |= 2
	}
	return r.directions[i]
}

// ends is what the rules look at.
type ends struct {
	src, dst         flow.Addr
	srcPort, dstPort uint16 // 0 where the protocol has none
	opener           Side   // who opened the conversation, where that was seen
}

// verdict is what a rule says.
type verdict struct {
	server   Side
	port     uint16
	evidence flow.Evidence
	drop     bool
}

// judge finds the first rule that matches and applies it. The last rule matches everything.
func (r *Rules) judge(e *ends, src, dst flow.NetworkID) verdict {
	n := r.words
	sources, destinations := r.sources[int(src)*n:][:n], r.destinations[int(dst)*n:][:n]
	srcRow, dstRow := int(r.portRow[e.srcPort])*n, int(r.portRow[e.dstPort])*n
	bySrc, byDst := r.sourcePorts[srcRow:][:n], r.destinationPorts[dstRow:][:n]
	handshakes := uint64(0)
	if e.opener != SideUnset {
		handshakes = ^uint64(0)
	}
	for w := range n {
		common := (r.always[w] | r.handshakes[w]&handshakes | bySrc[w] | byDst[w]) & sources[w] & destinations[w]
		if common == 0 {
			continue
		}
		bit := bits.TrailingZeros64(common)
		matched := matchedPorts{src: bySrc[w]>>bit&1 != 0, dst: byDst[w]>>bit&1 != 0}
		return r.halves[w*wordBits+bit].apply(e, matched)
	}
	return verdict{}
}

// matchedPorts says which of the two ports a rule lists.
type matchedPorts struct{ src, dst bool }

func (h *half) apply(e *ends, matched matchedPorts) verdict {
	v := verdict{evidence: flow.EvidenceRule, drop: h.drop}
	switch h.action {
	case ActionHandshake:
		v.server, v.evidence = e.opener.other(), flow.EvidenceHandshake
	case ActionLowerPort:
		v.server, v.evidence = e.lowerPort(h.tie)
	case ActionPortMatch:
		switch {
		case !matched.dst:
			v.server = Source
		case !matched.src:
			v.server = Destination
		case h.tie != SideUnset:
			v.server = h.tie
		default:
			v.server, _ = e.lowerPort(SideUnset)
		}
	case ActionAssign:
		v.server = h.client.other()
		v.port = e.portAt(h.port)
		return v
	}
	v.port = e.portAt(v.server)
	return v
}

// lowerPort gives the side of the lower port, and where the ports are equal that of tie.
func (e *ends) lowerPort(tie Side) (Side, flow.Evidence) {
	switch {
	case e.srcPort < e.dstPort:
		return Source, flow.EvidenceLowerPort
	case e.dstPort < e.srcPort:
		return Destination, flow.EvidenceLowerPort
	case tie != SideUnset:
		return tie, flow.EvidenceTie
	case e.dst.Hi < e.src.Hi, e.dst.Hi == e.src.Hi && e.dst.Lo < e.src.Lo:
		return Source, flow.EvidenceTie
	default:
		return Destination, flow.EvidenceTie
	}
}

func (e *ends) portAt(s Side) uint16 {
	if s == Source {
		return e.srcPort
	}
	return e.dstPort
}

// Protocols with ports besides those that flow names.
const (
	protoDCCP    = 33
	protoUDPLite = 136
)

func hasPorts(proto uint8) bool {
	switch proto {
	case flow.ProtoTCP, flow.ProtoUDP, flow.ProtoSCTP, protoDCCP, protoUDPLite:
		return true
	default:
		return false
	}
}

// ICMP requests and their replies as destination ports show them: type*256 + code (RFC 792, RFC 4443).
const (
	echoReply        = 0
	echoRequest      = 8 << 8
	timestampRequest = 13 << 8
	timestampReply   = 14 << 8
	echoRequest6     = 128 << 8
	echoReply6       = 129 << 8
)

// opener gives the side that opened the conversation, SideUnset where that was not seen. Both bits in one direction are
// no evidence: both ends opened (RFC 9293 section 3.5), or the port was used again the other way round.
func opener(rec *flow.Record) Side {
	switch rec.Proto {
	case flow.ProtoTCP:
		switch rec.Handshake & (flow.SawSYN | flow.SawSYNACK) {
		case flow.SawSYN:
			return Source
		case flow.SawSYNACK:
			return Destination
		}
	case flow.ProtoICMP:
		switch rec.DstPort {
		case echoRequest, timestampRequest:
			return Source
		case echoReply, timestampReply:
			return Destination
		}
	case flow.ProtoICMPv6:
		switch rec.DstPort {
		case echoRequest6:
			return Source
		case echoReply6:
			return Destination
		}
	}
	return SideUnset
}
