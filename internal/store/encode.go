package store

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"flowsensor/internal/flow"
)

// measurement is where raw flows go. Its tags come from the record alone, because they are part of the point's identity
// and a record must have the same one each time it is written.
const measurement = "flow"

// Encoder turns records into line protocol with the library's strict encoder: everything but the interface name and the
// sensor id is a number, an address or a word of ours, and these two are checked by the library again after they were
// cleaned. It is not safe for concurrent use and allocates nothing once its buffers have grown.
type Encoder struct {
	line    lineprotocol.Encoder
	protos  [256]string
	reasons []lineprotocol.Value
	text    [64]byte
	scratch []byte

	// Keep says which attributed records get a line; all but discarded ones when nil.
	Keep func(*flow.Attribution, flow.Networks) bool
	// Withheld adds up the records that got none for it.
	Withheld Count
}

// NewEncoder makes an encoder ready to use.
func NewEncoder() *Encoder {
	e := &Encoder{reasons: []lineprotocol.Value{{}}}
	e.line.SetPrecision(lineprotocol.Nanosecond)
	for i := range e.protos {
		e.protos[i] = strconv.Itoa(i)
	}
	for r := flow.EndReason(1); r.Valid(); r++ {
		word, _ := lineprotocol.StringValue(r.String())
		e.reasons = append(e.reasons, word)
	}
	return e
}

// Encode appends a line for every record of b, for every group of its readings, or for its DNS answers that failed. One that makes no line is given to
// refuse with its index, the reason and the cause.
func (e *Encoder) Encode(to *Lines, b *flow.Batch, refuse func(i int, why DeadReason, cause error)) {
	e.line.SetBuffer(to.data)
	if b.Content == flow.DNSAnswers {
		e.failures(to, b, refuse)
		return
	}
	if b.Content != flow.Flows {
		e.readings(to, b, refuse)
		return
	}
	sensor, iface, known := tagValue(b.Sensor), "", false
	var index uint32
	for i := range b.Records {
		r := &b.Records[i]
		if err := r.Validate(); err != nil {
			refuse(i, DeadRecordInvalid, err)
			continue
		}
		if e.withhold(b, i) {
			e.Withheld.add(Count{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
			continue
		}
		at, ok := pointTime(b, i)
		if !ok {
			refuse(i, DeadTimeOutOfRange, errPointTime)
			continue
		}
		if !known || index != r.IfIndex {
			index, iface, known = r.IfIndex, ifaceTag(b, r.IfIndex), true
		}
		e.line.StartLine(measurement)
		e.line.AddTag("iface", iface) // tags ascend by key: the library insists
		e.line.AddTag("proto", e.protos[r.Proto])
		e.line.AddTag("sensor", sensor)
		e.always(r)
		e.whenKnown(r)
		if i < len(b.Attributions) {
			e.attribution(&b.Attributions[i], b.Networks)
		}
		e.line.EndLine(time.Unix(0, at))
		if err := e.line.Err(); err != nil {
			e.line.ClearErr()
			refuse(i, DeadLineInvalid, err)
			continue
		}
		to.data = e.line.Bytes()
		to.mark(Count{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
	}
}

// pointTime is that of the i-th point of a batch, false when the database could not hold it.
func pointTime(b *flow.Batch, i int) (int64, bool) {
	at := b.Base + int64(i)
	return at, b.Base >= 0 && at >= b.Base && at <= flow.MaxTime
}

// always adds the fields that every point has, in the units of the database: times in microseconds.
func (e *Encoder) always(r *flow.Record) {
	e.addr("src", r.Src.Netip(r.Version))
	e.addr("dst", r.Dst.Netip(r.Version))
	e.int("src_port", int64(r.SrcPort))
	e.int("dst_port", int64(r.DstPort))
	e.int("tos", int64(r.ToS))
	e.int("if_index", int64(r.IfIndex))
	e.int("bytes", int64(r.Bytes))
	e.int("packets", int64(r.Packets))
	e.int("first", r.First/1000)
	e.int("last", r.Last/1000)
	e.int("tcp_flags", int64(r.TCPFlags))
	e.int("handshake", int64(r.Handshake))
	e.line.AddField("end_reason", e.reasons[r.EndReason])
}

// whenKnown adds the fields that are left out when the record does not know them.
func (e *Encoder) whenKnown(r *flow.Record) {
	e.vlan("vlan", r.VLAN)
	e.vlan("vlan_inner", r.VLANInner)
	e.nonzero("out_if", int64(r.OutIf))
	if !r.NextHop.IsZero() {
		e.addr("next_hop", r.NextHop.Netip(r.Version))
	}
	e.mask("src_mask", r.SrcMask)
	e.mask("dst_mask", r.DstMask)
	e.nonzero("src_as", int64(r.SrcAS))
	e.nonzero("dst_as", int64(r.DstAS))
	e.nonzero("sampling", int64(r.Sampling))
}

// int writes the `i` suffix: InfluxDB 1.x refuses the `u` of unsigned integers.
func (e *Encoder) int(key string, v int64) { e.line.AddField(key, lineprotocol.IntValue(v)) }

func (e *Encoder) nonzero(key string, v int64) {
	if v != 0 {
		e.int(key, v)
	}
}

func (e *Encoder) vlan(key string, v flow.VLAN) {
	if id, ok := v.ID(); ok {
		e.int(key, int64(id))
	}
}

func (e *Encoder) mask(key string, lengthPlusOne uint8) {
	if lengthPlusOne > 0 {
		e.int(key, int64(lengthPlusOne)-1)
	}
}

func (e *Encoder) addr(key string, a netip.Addr) {
	// The text of an address is ASCII: the error that the library reserves for other text cannot happen.
	text, _ := lineprotocol.NewValueFromBytes(lineprotocol.String, a.AppendTo(e.text[:0]))
	e.line.AddField(key, text)
}
