package sensor

import (
	"net/netip"
	"sync/atomic"

	"flowsensor/internal/flow"
)

// ownTraffic recognises the sensor's own datagrams, in both directions. The kernel filter drops them already where it
// can; this is for copies that come back inside a tunnel, an MPLS path or under tags that the filter does not look behind, and would
// feed on themselves. Safe for concurrent use: a new address takes the place of the old one at once.
type ownTraffic struct {
	ends atomic.Pointer[[2]flow.Key]
}

// set names the two ends; invalid ones clear it. A sender bound to no address in particular matches by its port.
func (o *ownTraffic) set(local, remote netip.AddrPort) {
	if !remote.IsValid() {
		o.ends.Store(nil)
		return
	}
	out := flow.Key{SrcPort: local.Port(), DstPort: remote.Port()}
	out.Src, _ = flow.AddrFrom(local.Addr().Unmap())
	out.Dst, out.Version = flow.AddrFrom(remote.Addr().Unmap())
	back := flow.Key{Src: out.Dst, Dst: out.Src, SrcPort: out.DstPort, DstPort: out.SrcPort, Version: out.Version}
	o.ends.Store(&[2]flow.Key{out, back})
}

// is reports whether a UDP packet's key is that of the sensor's own traffic.
func (o *ownTraffic) is(k *flow.Key) bool {
	if o == nil {
		return false
	}
	ends := o.ends.Load()
	if ends == nil {
		return false
	}
	out, back := &ends[0], &ends[1]
	return matches(k, out) || matches(k, back)
}

func matches(k, end *flow.Key) bool {
	return k.SrcPort == end.SrcPort && k.DstPort == end.DstPort && k.Version == end.Version &&
		(k.Src == end.Src || end.Src.IsZero()) && (k.Dst == end.Dst || end.Dst.IsZero())
}
