package rollup_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/rollup"
)

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
	// noon is the start of a minute, of a window and of an interval.
	noon = int64(1_700_000_040) * second
)

var networks = flow.Networks{{Name: "unknown"}, {Name: "office", Ours: true}, {Name: "dmz", Ours: true}}

// config makes everything.
func config() rollup.Config {
	c := rollup.DefaultConfig()
	c.Activities.MaxKeys = rollup.DefaultActivities
	return c
}

// attribute takes the lower port for the server: enough for these tests.
func attribute(b *flow.Batch) []flow.Attribution {
	all := make([]flow.Attribution, len(b.Records))
	for i := range b.Records {
		r, a := &b.Records[i], &all[i]
		a.Client, a.Server, a.ClientPort, a.ServicePort = r.Src, r.Dst, r.SrcPort, r.DstPort
		if r.SrcPort < r.DstPort {
			a.Client, a.Server, a.ClientPort, a.ServicePort = r.Dst, r.Src, r.DstPort, r.SrcPort
			a.FromServer = true
		}
		switch {
		case a.ServicePort == 0:
			a.Class = flow.ClassNone
		case a.ServicePort < 1024:
			a.Class = flow.ServiceClass(a.ServicePort)
		default:
			a.Class = flow.ClassHigh
		}
		a.ClientNetwork, a.ServerNetwork = flow.NetworkID(a.Client.Lo%3), flow.NetworkID(a.Server.Lo%3)
		a.Direction = flow.Direction(r.Src.Lo % 5)
		if a.Server.Lo%2 == 0 {
			a.ServerName = fmt.Sprintf("host-%d.example", a.Server.Lo)
		}
		a.ServerAS = uint32(a.Server.Lo % 7)
		a.Drop = r.ToS == 0xff
	}
	return all
}

// world makes batches of several sensors.
type world struct {
	*rand.Rand
	hosts uint64 // as clients, and half as many servers
	early int64  // records end up to this much before the window
}

func newWorld(seed uint64) *world {
	return &world{Rand: rand.New(rand.NewPCG(seed, 1)), hosts: 50, early: 3 * minute}
}

func (w *world) record(at int64) flow.Record {
	last := at - w.Int64N(w.early)
	r := flow.Record{
		Key: flow.Key{
			Version: 4, Src: flow.Addr{Lo: 0x0a000000 + w.Uint64N(w.hosts)}, Dst: flow.Addr{Lo: 0xc0000200 + w.Uint64N(w.hosts/2+1)},
			SrcPort: uint16(1024 + w.IntN(200)), DstPort: []uint16{443, 53, 8080, 22}[w.IntN(4)], IfIndex: uint32(2 + w.IntN(3)),
			Proto: []uint8{flow.ProtoTCP, flow.ProtoUDP}[w.IntN(2)],
		},
		Bytes: w.Uint64N(1_000_000), Packets: 1 + w.Uint64N(1000), First: last - w.Int64N(90*second), Last: last,
		EndReason: flow.EndIdle,
	}
	if w.IntN(2) == 0 {
		r.Src, r.Dst, r.SrcPort, r.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
	}
	if w.IntN(10) == 0 {
		r.Proto, r.SrcPort, r.DstPort = flow.ProtoGRE, 0, 0
	}
	return r
}

func (w *world) batches(n, records int) []*flow.Batch {
	all := make([]*flow.Batch, n)
	for i := range all {
		b := &flow.Batch{
			Sensor: fmt.Sprintf("edge-%d", w.IntN(3)), Base: noon + int64(i), Seq: uint64(i),
			Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}, {Index: 3, Name: "eth1"}},
		}
		for range records {
			b.Records = append(b.Records, w.record(noon))
		}
		all[i] = b
	}
	return all
}

// sum is what measurements must agree on.
type sum struct {
	bytes, packets, flows uint64
}

// sumOf adds up the records that no rule discards.
func sumOf(batches []*flow.Batch) (s sum) {
	for _, b := range batches {
		for i := range b.Records {
			if r := &b.Records[i]; r.ToS != 0xff && r.Validate() == nil {
				s.bytes += r.Bytes
				s.packets += r.Packets
				s.flows++
			}
		}
	}
	return s
}

// gather makes the rows of one window.
func gather(tb testing.TB, c rollup.Config, batches []*flow.Batch) []string {
	tb.Helper()
	return rowsOf(closed(tb, c, window, batches))
}

func closed(tb testing.TB, c rollup.Config, number int64, batches []*flow.Batch) *rollup.Increment {
	tb.Helper()
	s, err := rollup.NewShard(c)
	if err != nil {
		tb.Fatal(err)
	}
	s.Open(number, networks)
	for _, b := range batches {
		s.Add(b, attribute(b))
	}
	return s.Close(rollup.Full)
}

func rowsOf(inc *rollup.Increment) []string {
	var rows []string
	inc.Rows(func(r *flow.Row) bool {
		rows = append(rows, text(r))
		return true
	})
	inc.Release()
	return rows
}

// text is a row in the manner of line protocol.
func text(r *flow.Row) string {
	var b strings.Builder
	b.WriteString(point(r))
	for i, f := range r.Fields {
		b.WriteByte(" ,"[min(i, 1)])
		switch f.Kind {
		case flow.IntField:
			fmt.Fprintf(&b, "%s=%d", f.Key, f.Int)
		case flow.FloatField:
			fmt.Fprintf(&b, "%s=%g", f.Key, f.Float)
		case flow.TextField:
			fmt.Fprintf(&b, "%s=%q", f.Key, f.Text)
		}
	}
	fmt.Fprintf(&b, " %d", r.Time)
	return b.String()
}

func point(r *flow.Row) string {
	var b strings.Builder
	b.WriteString(r.Measurement)
	for _, t := range r.Tags {
		if t.Value != "" {
			fmt.Fprintf(&b, ",%s=%s", t.Key, t.Value)
		}
	}
	return b.String()
}

// database keeps points by identity, as InfluxDB does.
type database map[string]flow.Row

func (d database) write(inc *rollup.Increment) {
	inc.Rows(func(r *flow.Row) bool {
		kept := *r
		kept.Tags, kept.Fields = slices.Clone(r.Tags), slices.Clone(r.Fields)
		d[fmt.Sprintf("%s %d", point(r), r.Time)] = kept
		return true
	})
	inc.Release()
}

func field(r *flow.Row, key string) uint64 {
	for _, f := range r.Fields {
		if f.Key == key {
			return uint64(f.Int) + uint64(f.Float)
		}
	}
	return 0
}

// sums adds up a measurement, by the start of the interval.
func (d database) sums(measurement string, interval int64) map[int64]sum {
	all := make(map[int64]sum)
	for _, r := range d {
		if r.Measurement == measurement {
			at := r.Time / interval * interval
			s := all[at]
			s.bytes += field(&r, "bytes")
			s.packets += field(&r, "packets")
			s.flows += field(&r, "flows")
			all[at] = s
		}
	}
	return all
}

func total(all map[int64]sum) (s sum) {
	for o := range maps.Values(all) {
		s.bytes += o.bytes
		s.packets += o.packets
		s.flows += o.flows
	}
	return s
}

// check compares the totals of all measurements with what went in.
func (d database) check(tb testing.TB, want sum) {
	tb.Helper()
	for _, measurement := range []string{"traffic", "conversation", "activities"} {
		got := total(d.sums(measurement, second))
		if measurement == "activities" {
			got.flows = want.flows // they count flows under way
			if max(want.bytes, want.packets) > 1<<53 {
				continue // beyond what its kind of number can say
			}
		}
		if got != want {
			tb.Errorf("%s adds up to %+v, want %+v", measurement, got, want)
		}
	}
}

func (d database) ofMeasurement(name string) []flow.Row {
	var rows []flow.Row
	for _, r := range d {
		if r.Measurement == name {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b flow.Row) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(point(&a), point(&b)))
	})
	return rows
}
