package rollup

import (
	"cmp"
	"slices"
	"strconv"

	"flowsensor/internal/flow"
)

// Increment is what a window brought, detached from its Shard. Rows is called at most once, Release last.
type Increment struct {
	shard    *Shard
	cfg      *Config
	window   int64 // its start
	networks flow.Networks
	names    []string

	traffic       *traffic
	conversations *conversations // nil where they go on into the next window
	activities    *activities
}

// Rows makes the rows, each measurement's in ascending order of their keys within an interval, until yield returns
// false. The row is good until yield returns.
func (inc *Increment) Rows(yield func(*flow.Row) bool) {
	w := &rowWriter{inc: inc, yield: yield}
	if inc.traffic != nil {
		w.numbers = make(map[int64]int64)
		inc.trafficRows(w)
	}
	if inc.conversations != nil {
		w.numbers = make(map[int64]int64)
		inc.conversationRows(w)
	}
	if inc.activities != nil {
		w.numbers = make(map[int64]int64)
		inc.activityRows(w)
	}
}

// Release gives the memory back to the Shard.
func (inc *Increment) Release() {
	giveBack(inc.shard.spareTraffic, inc.traffic)
	giveBack(inc.shard.spareConversations, inc.conversations)
	giveBack(inc.shard.spareActivities, inc.activities)
	inc.traffic, inc.conversations, inc.activities = nil, nil, nil
}

// sorted gives the numbers of all cells in the order of their keys.
func sorted[K key, V any](t *table[K, V], compare func(a, b *K) int) []uint32 {
	cells := make([]uint32, t.count)
	for i := range cells {
		cells[i] = uint32(i)
	}
	slices.SortFunc(cells, func(a, b uint32) int { return compare(&t.cell(a).key, &t.cell(b).key) })
	return cells
}

// otherRows makes the rows of what has none of its own; begin gives tags and texts.
func (inc *Increment) otherRows(w *rowWriter, o *others, interval int64, begin func(*otherKey)) {
	cells := sorted(o.cells, func(a, b *otherKey) int {
		return cmp.Or(cmp.Compare(a.interval, b.interval), compareNames(a.sensor, b.sensor, inc.names), cmp.Compare(a.proto, b.proto))
	})
	row := func(k *otherKey, v *volume) {
		begin(k)
		switch w.measurement {
		case MeasureActivities:
			w.floats(v)
		case MeasureConversation:
			w.sums(v)
			w.sides(v)
		case MeasureTraffic, measurements: // the latter is none
			w.sums(v)
		}
		w.end(k.interval, interval)
	}
	for _, number := range cells {
		c := o.cells.cell(number)
		row(&c.key, &c.value)
	}
	if o.rest != (volume{}) {
		row(&otherKey{interval: inc.window / interval}, &o.rest)
	}
}

// rowWriter puts a row together and hands it on.
type rowWriter struct {
	inc         *Increment
	yield       func(*flow.Row) bool
	row         flow.Row
	measurement Measurement
	numbers     map[int64]int64 // of the next row, by interval
	stopped     bool
}

func (w *rowWriter) begin(m Measurement) {
	w.measurement = m
	w.row.Measurement = m.String()
	w.row.Tags, w.row.Fields = w.row.Tags[:0], w.row.Fields[:0]
}

// always is for tags that are not configurable.
const always = ^Tags(0)

// tag adds a tag that is in the set that was asked for. Tags are added in ascending order.
func (w *rowWriter) tag(wanted Tags, key, value string) {
	if wanted != 0 {
		w.row.Tags = append(w.row.Tags, flow.Tag{Key: key, Value: value})
	}
}

// otherTags adds the tags of other: what it is made of, and the word.
func (w *rowWriter) otherTags(tags Tags, k *otherKey, names []string) {
	w.tag(tags&TagClientNetwork, "client_network", other)
	w.tag(tags&TagDirection, "direction", other)
	w.tag(tags&TagIface, "iface", other)
	w.tag(tags&TagProto, "proto", protoText(k.proto))
	w.tag(tags&TagSensor, "sensor", names[k.sensor])
	w.tag(tags&TagServerNetwork, "server_network", other)
	w.tag(tags&TagService, "service", other)
}

func (w *rowWriter) int(key string, v uint64) {
	w.row.Fields = append(w.row.Fields, flow.Int(key, int64(v)))
}

func (w *rowWriter) text(key, v string) {
	if v != "" {
		w.row.Fields = append(w.row.Fields, flow.Text(key, v))
	}
}

// known adds an AS where there is one.
func (w *rowWriter) known(key string, as uint32, nameKey, name string) {
	if as != 0 {
		w.int(key, uint64(as))
		w.text(nameKey, name)
	}
}

func (w *rowWriter) sums(v *volume) {
	w.int("bytes", v.totalBytes())
	w.int("packets", v.totalPackets())
	w.int("flows", v.flows)
}

func (w *rowWriter) sides(v *volume) {
	w.int("bytes_to_server", v.bytes[toServer])
	w.int("bytes_to_client", v.bytes[toClient])
	w.int("packets_to_server", v.packets[toServer])
	w.int("packets_to_client", v.packets[toClient])
}

// floats adds the sums as the older system's kind of number. Whole numbers are exact in it up to 2^53.
func (w *rowWriter) floats(v *volume) {
	w.row.Fields = append(w.row.Fields, flow.Float("bytes", float64(v.totalBytes())),
		flow.Float("packets", float64(v.totalPackets())), flow.Float("flows", float64(v.flows)))
}

// end gives the row its time and hands it on.
func (w *rowWriter) end(number, interval int64) {
	if w.inc.cfg.Shard != "" {
		w.tag(always, "shard", w.inc.cfg.Shard)
	}
	start := number * interval
	slot := floorDiv(w.inc.window-start, int64(w.inc.cfg.Window)) + w.inc.cfg.aheadSlots()
	w.row.Time = start + slot*slotRows + w.numbers[number]
	w.numbers[number]++
	if w.stopped {
		return
	}
	w.inc.shard.counters.measurements[w.measurement].rows.Add(1)
	w.stopped = !w.yield(&w.row)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// protoText is the protocol's number, as in the measurement of the records.
func protoText(proto uint8) string { return strconv.Itoa(int(proto)) }
