package route

import "flowsensor/internal/flow"

// Fill puts next hop, output interface and both masks into a record, as far as the routes tell. It allocates nothing and
// may be called from any goroutine, for different records.
func (t *Table) Fill(r *flow.Record) {
	trie := t.trie.Load()
	if e, ok := trie.Lookup(r.Src.Netip(r.Version)); ok && e.leads {
		r.SrcMask = e.mask
	}
	if e, ok := trie.Lookup(r.Dst.Netip(r.Version)); ok && e.leads {
		r.DstMask, r.NextHop, r.OutIf = e.mask, e.gateway, e.outIf
	}
}
