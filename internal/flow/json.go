package flow

import (
	"encoding/json"
	"net/netip"
	"time"
)

// recordJSON is the record in the names of the manual; see MarshalJSON.
type recordJSON struct {
	Src       netip.Addr  `json:"src"`
	Dst       netip.Addr  `json:"dst"`
	SrcPort   uint16      `json:"src_port"`
	DstPort   uint16      `json:"dst_port"`
	Proto     uint8       `json:"proto"`
	ToS       uint8       `json:"tos"`
	IfIndex   uint32      `json:"if_index"`
	Iface     string      `json:"iface,omitempty"`
	VLAN      *uint16     `json:"vlan,omitempty"`
	VLANInner *uint16     `json:"vlan_inner,omitempty"`
	Bytes     uint64      `json:"bytes"`
	Packets   uint64      `json:"packets"`
	First     string      `json:"first"`
	Last      string      `json:"last"`
	TCPFlags  uint16      `json:"tcp_flags"`
	Handshake uint8       `json:"handshake"`
	EndReason string      `json:"end_reason"`
	OutIf     uint32      `json:"out_if,omitempty"`
	NextHop   *netip.Addr `json:"next_hop,omitempty"`
	SrcMask   *uint8      `json:"src_mask,omitempty"`
	DstMask   *uint8      `json:"dst_mask,omitempty"`
	SrcAS     uint32      `json:"src_as,omitempty"`
	DstAS     uint32      `json:"dst_as,omitempty"`
	Sampling  uint32      `json:"sampling,omitempty"`
}

// Named is a record with the name of its interface: what the JSON output shows.
type Named struct {
	*Record
	Iface string
}

// MarshalJSON gives one flat object: numbers for protocol, ToS and flags, RFC 5952 addresses, RFC 3339 times with
// nanoseconds in UTC; what is unknown is left out.
func (n Named) MarshalJSON() ([]byte, error) {
	r := n.Record
	out := recordJSON{
		Src: r.Src.Netip(r.Version), Dst: r.Dst.Netip(r.Version), SrcPort: r.SrcPort, DstPort: r.DstPort,
		Proto: r.Proto, ToS: r.ToS, IfIndex: r.IfIndex, Iface: n.Iface, VLAN: r.VLAN.pointer(), VLANInner: r.VLANInner.pointer(),
		Bytes: r.Bytes, Packets: r.Packets, First: timeText(r.First), Last: timeText(r.Last), TCPFlags: r.TCPFlags,
		Handshake: r.Handshake, EndReason: r.EndReason.String(), OutIf: r.OutIf, SrcMask: maskPointer(r.SrcMask),
		DstMask: maskPointer(r.DstMask), SrcAS: r.SrcAS, DstAS: r.DstAS, Sampling: r.Sampling,
	}
	if !r.NextHop.IsZero() {
		hop := r.NextHop.Netip(r.Version)
		out.NextHop = &hop
	}
	return json.Marshal(out)
}

func (v VLAN) pointer() *uint16 {
	if id, ok := v.ID(); ok {
		return &id
	}
	return nil
}

func maskPointer(lengthPlusOne uint8) *uint8 {
	if lengthPlusOne == 0 {
		return nil
	}
	length := lengthPlusOne - 1
	return &length
}

// timeText always has nine decimals, so that columns of times line up and sort as text.
func timeText(ns int64) string {
	return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z")
}
