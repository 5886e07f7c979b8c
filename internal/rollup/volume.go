package rollup

// volume is what a key got. Bytes and packets are by side: what went to the server, and what went to the client.
type volume struct {
	bytes, packets [2]uint64
	flows          uint64
}

// side says where packets went. It indexes volume.
type side uint8

const (
	toServer side = iota
	toClient
)

func (v *volume) add(p *part, to side) {
	v.bytes[to] += p.bytes
	v.packets[to] += p.packets
	v.flows += uint64(p.flows)
}

func (v *volume) merge(o *volume) {
	for i := range v.bytes {
		v.bytes[i] += o.bytes[i]
		v.packets[i] += o.packets[i]
	}
	v.flows += o.flows
}

func (v *volume) totalBytes() uint64 { return v.bytes[toServer] + v.bytes[toClient] }

func (v *volume) totalPackets() uint64 { return v.packets[toServer] + v.packets[toClient] }

// measure gathers one measurement of a window.
type measure[K key, V any] struct {
	cells    *table[K, V]
	others   others
	interval int64
	limit    int
	overflow uint64 // parts that found no room
}

func newMeasure[K key, V any](seed uint64, interval int64, limit int) *measure[K, V] {
	return &measure[K, V]{
		cells: newTable[K, V](seed), others: others{cells: newTable[otherKey, volume](seed)}, interval: interval, limit: limit,
	}
}

func (m *measure[K, V]) reset() {
	m.cells.reset()
	m.others.cells.reset()
	m.others.rest, m.overflow = volume{}, 0
}

// addParts adds the parts of a record to a key, whose field interval it sets, and what finds no room to other.
func addParts[K key](m *measure[K, volume], k *K, interval *int64, parts []part, other otherKey) {
	for i := range parts {
		p := &parts[i]
		*interval = p.interval
		v, _ := m.cells.at(k, m.limit)
		if v == nil {
			other.interval = p.interval
			v = m.others.at(other)
			m.overflow++
		}
		v.add(p, toServer)
	}
}

// others is what has no row of its own.
type others struct {
	cells *table[otherKey, volume]
	rest  volume // for which that is full too: one row, at the time of the window
}

// otherKey is what is left of any key.
type otherKey struct {
	interval int64
	sensor   uint32
	proto    uint8
}

func (k otherKey) hash(seed uint64) uint64 {
	return mix(mix(seed, uint64(k.interval)), uint64(k.sensor)<<8|uint64(k.proto))
}

// maxOthers bounds the rows of others in a window. It takes hundreds of sensors that send times from everywhere.
const maxOthers = 1 << 16

// at gives the volume for a key.
func (o *others) at(k otherKey) *volume {
	if v, _ := o.cells.at(&k, maxOthers); v != nil {
		return v
	}
	return &o.rest
}
