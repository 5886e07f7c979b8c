package rollup

import (
	"cmp"
	"strings"

	"flowsensor/internal/flow"
)

// trafficKey is what traffic is told apart by: those of its fields that are configured, the others are zero.
type trafficKey struct {
	interval      int64
	sensor, iface uint32
	class         flow.ServiceClass
	client        flow.NetworkID
	server        flow.NetworkID
	proto         uint8
	direction     flow.Direction
}

func (k trafficKey) hash(seed uint64) uint64 {
	h := mix(seed, uint64(k.interval))
	h = mix(h, uint64(k.sensor)<<32|uint64(k.iface))
	return mix(h, uint64(k.class)<<40^uint64(k.client)<<32|uint64(k.server)<<16|uint64(k.proto)<<8|uint64(k.direction))
}

type traffic = measure[trafficKey, volume]

// addTraffic adds the parts of one record.
func (s *Shard) addTraffic(at *where, r *flow.Record, a *flow.Attribution) {
	m, tags := s.traffic, s.cfg.Traffic.Tags
	k := trafficKey{}
	if tags&TagSensor != 0 {
		k.sensor = at.sensor
	}
	if tags&TagIface != 0 {
		k.iface = s.iface(at, r.IfIndex)
	}
	if tags&TagProto != 0 {
		k.proto = r.Proto
	}
	if tags&TagService != 0 {
		k.class = a.Class
	}
	if tags&TagClientNetwork != 0 {
		k.client = a.ClientNetwork
	}
	if tags&TagServerNetwork != 0 {
		k.server = a.ServerNetwork
	}
	if tags&TagDirection != 0 {
		k.direction = a.Direction
	}
	addParts(m, &k, &k.interval, s.parts, otherKey{sensor: k.sensor, proto: k.proto})
}

// compare orders by interval, then by what the tags say; the order of the numbers of names is that of their coming.
func (k *trafficKey) compare(o *trafficKey, names []string) int {
	return cmp.Or(
		cmp.Compare(k.interval, o.interval),
		compareNames(k.sensor, o.sensor, names),
		compareNames(k.iface, o.iface, names),
		cmp.Compare(k.proto, o.proto),
		cmp.Compare(k.class, o.class),
		cmp.Compare(k.client, o.client),
		cmp.Compare(k.server, o.server),
		cmp.Compare(k.direction, o.direction),
	)
}

func compareNames(a, b uint32, names []string) int {
	if a == b {
		return 0
	}
	return strings.Compare(names[a], names[b])
}

// trafficRows makes the rows.
func (inc *Increment) trafficRows(w *rowWriter) {
	m, tags := inc.traffic, inc.cfg.Traffic.Tags
	cells := sorted(m.cells, func(a, b *trafficKey) int { return a.compare(b, inc.names) })
	for _, number := range cells {
		c := m.cells.cell(number)
		k := &c.key
		w.begin(MeasureTraffic)
		w.tag(tags&TagClientNetwork, "client_network", inc.networks.Name(k.client))
		w.tag(tags&TagDirection, "direction", k.direction.String())
		w.tag(tags&TagIface, "iface", inc.names[k.iface])
		w.tag(tags&TagProto, "proto", protoText(k.proto))
		w.tag(tags&TagSensor, "sensor", inc.names[k.sensor])
		w.tag(tags&TagServerNetwork, "server_network", inc.networks.Name(k.server))
		w.tag(tags&TagService, "service", k.class.String())
		w.sums(&c.value)
		w.end(k.interval, m.interval)
	}
	inc.otherRows(w, &m.others, m.interval, func(k *otherKey) {
		w.begin(MeasureTraffic)
		w.otherTags(tags, k, inc.names)
	})
}
