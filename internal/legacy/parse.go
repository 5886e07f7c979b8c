package legacy

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"flowsensor/internal/flow"
)

const (
	// maxFlows is the most flows of one datagram that are taken. Agents send one.
	maxFlows = 256
	// keyParts is how many parts a flow's key has: interface, addresses, protocol, ports, ToS and Ethertype.
	keyParts = 8
	// ip6Header is what an agent leaves out of the length of an IPv6 packet.
	ip6Header = 40
)

// agentFlow is one flow as an agent writes it: all of its fields have to be there.
type agentFlow struct {
	Bytes   *uint64  `json:"bytes"`
	Packets *uint64  `json:"packets"`
	Start   *float64 `json:"start_time"`
	End     *float64 `json:"end_time"`
	Flags   *string  `json:"flags"`
}

// errFlows says that a text is not what an agent writes.
var errFlows = errors.New("not a JSON object of flows")

// parseFlows reads the object of flows into the interfaces and records of b: all of it or nothing of use. The flows come in
// the order of their keys.
func parseFlows(text []byte, b *flow.Batch) error {
	b.Interfaces, b.Records = b.Interfaces[:0], b.Records[:0]
	var flows map[string]*agentFlow
	if err := json.Unmarshal(text, &flows); err != nil {
		return errFlows // the library's error quotes from the text
	}
	if len(flows) == 0 || len(flows) > maxFlows {
		return errFlows
	}
	for _, key := range slices.Sorted(maps.Keys(flows)) {
		var r flow.Record
		iface, err := parseKey(key, &r.Key)
		if err != nil {
			return err
		}
		if err := flows[key].fill(&r); err != nil {
			return err
		}
		r.IfIndex = number(b, iface)
		b.Records = append(b.Records, r)
	}
	return nil
}

// parseKey reads "ifname,src_ip,dst_ip,proto,sport,dport,tos,ethertype". The interface's name may have commas.
func parseKey(text string, k *flow.Key) (iface string, err error) {
	parts := strings.Split(text, ",")
	if len(parts) < keyParts {
		return "", errFlows
	}
	iface = strings.Join(parts[:len(parts)-keyParts+1], ",")
	parts = parts[len(parts)-keyParts+1:]
	src, err1 := netip.ParseAddr(parts[0])
	dst, err2 := netip.ParseAddr(parts[1])
	proto, err3 := strconv.ParseUint(parts[2], 10, 8)
	srcPort, err4 := strconv.ParseUint(parts[3], 10, 16)
	dstPort, err5 := strconv.ParseUint(parts[4], 10, 16)
	tos, err6 := strconv.ParseUint(parts[5], 10, 8)
	_, err7 := strconv.ParseUint(parts[6], 10, 16) // the addresses say which it is
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return "", errFlows
	}
	var version uint8
	k.Src, k.Version = flow.AddrFrom(src)
	if k.Dst, version = flow.AddrFrom(dst); version != k.Version || src.Zone() != "" || dst.Zone() != "" {
		return "", errFlows
	}
	k.Proto, k.ToS = uint8(proto), uint8(tos)
	k.SrcPort, k.DstPort = uint16(srcPort), uint16(dstPort)
	return iface, nil
}

// fill takes over what is not part of the key, whose fields must be set. An agent's protocol is IPv6's first header, also
// where that is an extension, although the ports are those behind it; its flags are those of the last packet alone; and
// why a flow ended is told by these flags or not at all.
func (f *agentFlow) fill(r *flow.Record) error {
	if f == nil || f.Bytes == nil || f.Packets == nil || f.Start == nil || f.End == nil || f.Flags == nil {
		return errFlows
	}
	flags, ok := parseFlags(*f.Flags)
	if !ok || *f.Packets > flow.MaxCount || *f.Bytes > flow.MaxCount {
		return errFlows
	}
	r.Bytes, r.Packets = *f.Bytes, *f.Packets
	if r.Version == 6 {
		r.Bytes += ip6Header * r.Packets
	}
	if r.First, ok = nanoseconds(*f.Start); !ok {
		return errFlows
	}
	if r.Last, ok = nanoseconds(*f.End); !ok {
		return errFlows
	}
	if isExtension(r.Proto) && r.Version == 6 {
		switch {
		case flags != 0:
			r.Proto = flow.ProtoTCP
		case r.SrcPort|r.DstPort != 0:
			r.Proto = flow.ProtoUDP
		}
	}
	r.EndReason = flow.EndIdle
	if r.Proto != flow.ProtoTCP {
		return nil
	}
	r.TCPFlags, r.Handshake = flags, flow.HandshakeOf(flags)
	switch {
	case flags&flow.RST != 0:
		r.EndReason = flow.EndRST
	case flags&flow.FIN != 0:
		r.EndReason = flow.EndFIN
	}
	return nil
}

// isExtension reports whether a protocol number is that of an IPv6 extension header (RFC 8200 section 4): hop-by-hop options,
// routing, fragment, authentication, destination options.
func isExtension(proto uint8) bool {
	return slices.Contains([]uint8{0, 43, 44, flow.ProtoAH, 60}, proto)
}

// flagLetters are the letters of Scapy, in the order of the bits.
const flagLetters = "FSRPAUECN"

// parseFlags reads TCP flags as Scapy writes them; "None" stands for other protocols.
func parseFlags(text string) (flags uint16, ok bool) {
	if text == "None" {
		return 0, true
	}
	for _, letter := range text {
		bit := strings.IndexRune(flagLetters, letter)
		if bit < 0 {
			return 0, false
		}
		flags |= 1 << bit
	}
	return flags, true
}

// nanoseconds turns seconds since the epoch into nanoseconds, as exact as an agent's double has them: to the microsecond.
func nanoseconds(seconds float64) (int64, bool) {
	if !(seconds >= 0 && seconds <= float64(flow.MaxTime)/1e9) {
		return 0, false
	}
	return min(int64(math.Round(seconds*1e6))*1000, flow.MaxTime), true
}

// number gives an interface of the batch its index. Agents send names alone: the index is made of the name, so that it is
// always the same one.
func number(b *flow.Batch, name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	index := max(h.Sum32(), 1)
	for b.InterfaceName(index) != "" && b.InterfaceName(index) != name {
		index = max(index+1, 1)
	}
	if name != "" && b.InterfaceName(index) == "" {
		b.Interfaces = append(b.Interfaces, flow.Interface{Index: index, Name: name})
	}
	return index
}
