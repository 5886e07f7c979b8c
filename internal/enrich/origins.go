package enrich

import "flowsensor/internal/flow"

// Lookup gives the origin of an address: that of the longest prefix in either file, of equal ones the operator's own
// table's. It allocates nothing and may be called from any goroutine.
func (o *Origins) Lookup(a flow.Addr, version uint8) Origin {
	prefixes, database := o.prefixes.table.Load(), o.database.table.Load()
	own, known := prefixes.find(a, version)
	other, more := database.find(a, version)
	switch {
	case known && (!more || own.bits() >= other.bits()):
		return prefixes.origin(own)
	case more:
		return database.origin(other)
	default:
		return Origin{}
	}
}

// Enrich fills in what the record and its attribution do not know: source and destination AS, masks and the names of
// the systems. What the sensor said stays: it knows its own routes better than a database does. It allocates nothing and
// may be called from any goroutine, for different records.
func (o *Origins) Enrich(r *flow.Record, a *flow.Attribution) {
	src, dst := o.Lookup(r.Src, r.Version), o.Lookup(r.Dst, r.Version)
	srcName := src.complete(&r.SrcAS, &r.SrcMask)
	dstName := dst.complete(&r.DstAS, &r.DstMask)
	if a.FromServer {
		a.ServerAS, a.ServerASName, a.ClientAS, a.ClientASName = r.SrcAS, srcName, r.DstAS, dstName
	} else {
		a.ClientAS, a.ClientASName, a.ServerAS, a.ServerASName = r.SrcAS, srcName, r.DstAS, dstName
	}
}

// complete fills in what is zero, and gives the name that belongs to the AS as it stands then.
func (o *Origin) complete(as *uint32, mask *uint8) (name string) {
	if *as == 0 {
		*as = o.AS
	}
	if *mask == 0 {
		*mask = o.Mask
	}
	if *as != o.AS {
		return ""
	}
	return o.Name
}
