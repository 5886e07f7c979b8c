package sensor

import (
	"sync/atomic"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
)

// ownTraffic recognises the sensor's own datagrams, in both directions. The kernel filter drops them already where it
// can; this is for copies that come back inside a tunnel, an MPLS path or under tags that the filter does not look behind, and would
// feed on themselves. Safe for concurrent use: a new address takes the place of the old one at once.
type ownTraffic struct {
	keys atomic.Pointer[[]flow.Key] // both directions of every pair of ends
}

// set names the ends of the sender's sockets, the old and the new ones while it moves: datagrams still leave on the old.
func (o *ownTraffic) set(ends ...export.Endpoints) {
	var keys []flow.Key
	for _, e := range ends {
		if !e.Remote.IsValid() {
			continue // there is no collector yet, and no traffic to it
		}
		out := flow.Key{SrcPort: e.Local.Port(), DstPort: e.Remote.Port()}
		out.Src, _ = flow.AddrFrom(e.Local.Addr().Unmap())
		out.Dst, out.Version = flow.AddrFrom(e.Remote.Addr().Unmap())
		back := flow.Key{Src: out.Dst, Dst: out.Src, SrcPort: out.DstPort, DstPort: out.SrcPort, Version: out.Version}
		keys = append(keys, out, back)
	}
	o.keys.Store(&keys)
}

// is reports whether a UDP packet's key is that of the sensor's own traffic.
func (o *ownTraffic) is(k *flow.Key) bool {
	keys := o.keys.Load()
	if keys == nil {
		return false
	}
	for i := range *keys {
		if matches(k, &(*keys)[i]) {
			return true
		}
	}
	return false
}

// matches compares; an address that is not known matches any.
func matches(k, end *flow.Key) bool {
	return k.SrcPort == end.SrcPort && k.DstPort == end.DstPort && k.Version == end.Version &&
		(k.Src == end.Src || end.Src.IsZero()) && (k.Dst == end.Dst || end.Dst.IsZero())
}
