package rollup

import (
	"cmp"
	"strconv"
	"time"

	"flowsensor/internal/flow"
)

// activityKey is the tags of the older system's measurement, and the second.
type activityKey struct {
	src, dst            flow.Addr
	second              int64
	sensor, iface       uint32
	srcPort, dstPort    uint16
	flags               uint16
	proto, tos, version uint8
}

func (k activityKey) hash(seed uint64) uint64 {
	h := mix(seed, uint64(k.second))
	h = mix(h, k.src.Hi^k.dst.Hi<<1)
	h = mix(h, k.src.Lo)
	h = mix(h, k.dst.Lo)
	h = mix(h, uint64(k.sensor)<<32|uint64(k.iface))
	return mix(h, uint64(k.srcPort)<<48|uint64(k.dstPort)<<32|uint64(k.flags)<<16^uint64(k.proto)<<24^uint64(k.tos)<<8|uint64(k.version))
}

type activities = measure[activityKey, volume]

// seconds appends the parts of a record as the older system spread it: the seconds from the one that it began in to the
// one that it ended in get equal shares, and each counts a flow. Shares are whole numbers here, so that they add up.
func seconds(parts []part, r *flow.Record, s span) []part {
	const second = int64(time.Second)
	from, to := s.first/second, (s.last+second-1)/second
	count := uint64(max(to-from, 1))
	bytes, packets := meter{total: r.Bytes}, meter{total: r.Packets}
	for i := range count {
		parts = append(parts, part{
			interval: from + int64(i), bytes: bytes.upTo(i+1, count), packets: packets.upTo(i+1, count), flows: 1,
		})
	}
	return parts
}

// addActivities adds the parts of one record.
func (s *Shard) addActivities(at *where, r *flow.Record) {
	m := s.activities
	k := activityKey{
		src: r.Src, dst: r.Dst, sensor: at.sensor, iface: s.iface(at, r.IfIndex), srcPort: r.SrcPort, dstPort: r.DstPort,
		flags: r.TCPFlags, proto: r.Proto, tos: r.ToS, version: r.Version,
	}
	addParts(m, &k, &k.second, s.parts, otherKey{sensor: k.sensor, proto: k.proto})
}

func (k *activityKey) compare(o *activityKey, names []string) int {
	return cmp.Or(
		cmp.Compare(k.second, o.second),
		compareNames(k.sensor, o.sensor, names),
		compareNames(k.iface, o.iface, names),
		cmp.Compare(k.version, o.version),
		compareAddr(k.src, o.src),
		compareAddr(k.dst, o.dst),
		cmp.Compare(k.proto, o.proto),
		cmp.Compare(k.srcPort, o.srcPort),
		cmp.Compare(k.dstPort, o.dstPort),
		cmp.Compare(k.tos, o.tos),
		cmp.Compare(k.flags, o.flags),
	)
}

// activityRows makes the rows.
func (inc *Increment) activityRows(w *rowWriter) {
	m := inc.activities
	for _, number := range sorted(m.cells, func(a, b *activityKey) int { return a.compare(b, inc.names) }) {
		c := m.cells.cell(number)
		k := &c.key
		w.begin(MeasureActivities)
		w.tag(always, "agent", inc.names[k.sensor])
		w.tag(always, "dst_ip", k.dst.Netip(k.version).String())
		w.tag(always, "dst_port", strconv.Itoa(int(k.dstPort)))
		w.tag(always, "ethertype", etherType(k.version))
		w.tag(always, "flags", flagText(k.proto, k.flags))
		w.tag(always, "ifname", inc.names[k.iface])
		w.tag(always, "proto", protoText(k.proto))
		w.tag(always, "src_ip", k.src.Netip(k.version).String())
		w.tag(always, "src_port", strconv.Itoa(int(k.srcPort)))
		w.tag(always, "tos", strconv.Itoa(int(k.tos)))
		w.floats(&c.value)
		w.end(k.second, m.interval)
	}
	inc.otherRows(w, &m.others, m.interval, func(k *otherKey) {
		w.begin(MeasureActivities)
		w.tag(always, "agent", inc.names[k.sensor])
		w.tag(always, "dst_ip", other)
		w.tag(always, "proto", protoText(k.proto))
		w.tag(always, "src_ip", other)
	})
}

// etherType is as a number in decimal, like the older system's.
func etherType(version uint8) string {
	if version == 4 {
		return "2048"
	}
	return "34525"
}

// flagText writes TCP flags as scapy does, and "None" for other protocols.
func flagText(proto uint8, flags uint16) string {
	if proto != flow.ProtoTCP {
		return "None"
	}
	const letters = "FSRPAUECN"
	text := make([]byte, 0, len(letters))
	for i := range len(letters) {
		if flags&(1<<i) != 0 {
			text = append(text, letters[i])
		}
	}
	return string(text)
}
