package rollup_test

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/rollup"
	"flowsensor/internal/wire"
)

// typical gives records as a mirror port makes them: short ones mostly, clients of many ports.
func typical(n int, clients uint32) []flow.Record {
	r := rand.New(rand.NewPCG(11, 12))
	all := make([]flow.Record, n)
	for i := range all {
		last := noon - r.Int64N(20*second)
		length := r.Int64N(second)
		if r.IntN(4) == 0 {
			length = r.Int64N(60 * second)
		}
		all[i] = flow.Record{
			Key: flow.Key{
				Src: flow.Addr{Lo: 0x0a000000 | uint64(r.Uint32N(clients))}, Dst: flow.Addr{Lo: 0xc0a80000 | uint64(r.Uint32N(2000))}, Version: 4,
				SrcPort: 1024 + uint16(r.Uint32N(60000)), DstPort: []uint16{443, 80, 53, 22, 8080}[r.IntN(5)], IfIndex: 2,
				Proto: []uint8{flow.ProtoTCP, flow.ProtoTCP, flow.ProtoUDP}[r.IntN(3)],
			},
			Bytes: 40 + r.Uint64N(1_000_000), Packets: 1 + r.Uint64N(1000), First: last - length, Last: last,
			TCPFlags: uint16(r.Uint32N(64)), EndReason: flow.EndReason(1 + r.IntN(4)),
		}
		if i%2 == 1 {
			k := &all[i].Key
			k.Src, k.Dst, k.SrcPort, k.DstPort = k.Dst, k.Src, k.DstPort, k.SrcPort
		}
	}
	return all
}

// BenchmarkAdd takes records into traffic and conversations with the default bounds, window after window.
func BenchmarkAdd(b *testing.B) {
	records := typical(200_000, 20_000)
	var batches []*flow.Batch
	var attributions [][]flow.Attribution
	for len(records) > 0 {
		batch := &flow.Batch{Sensor: "edge-1", Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}, Records: records[:40]}
		batches, attributions, records = append(batches, batch), append(attributions, attribute(batch)), records[40:]
	}
	s, err := rollup.NewShard(rollup.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	number := window
	s.Open(number, networks)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		s.Add(batches[n%len(batches)], attributions[n%len(batches)])
		if n++; n%len(batches) == 0 {
			s.Close(rollup.Full).Release()
			number++
			s.Open(number, networks)
		}
	}
	report(b, n*40)
}

func report(b *testing.B, records int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkParseAndAdd decodes the batches from what travels first.
func BenchmarkParseAndAdd(b *testing.B) {
	records := typical(200_000, 20_000)
	e := wire.NewFlowsEncoder(1100)
	var bodies [][]byte
	for i := 0; i < len(records); {
		for e.Reset(); i < len(records) && e.Add(&records[i], "eth0"); i++ {
		}
		bodies = append(bodies, e.AppendBody(nil, wire.Numbers{Seq: 1, Base: noon}))
	}
	s, err := rollup.NewShard(rollup.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	number := window
	s.Open(number, networks)
	batch := flow.Batch{Sensor: "edge-1"}
	var attributions []flow.Attribution
	n, count := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.ParseFlows(bodies[n%len(bodies)], &batch); err != nil {
			b.Fatal(err)
		}
		attributions = quick(batch.Records, attributions[:0])
		s.Add(&batch, attributions)
		count += len(batch.Records)
		if n++; n%len(bodies) == 0 {
			s.Close(rollup.Full).Release()
			number++
			s.Open(number, networks)
		}
	}
	report(b, count)
}

// quick attributes without any rules.
func quick(records []flow.Record, to []flow.Attribution) []flow.Attribution {
	for i := range records {
		r := &records[i]
		a := flow.Attribution{Client: r.Src, Server: r.Dst, ClientPort: r.SrcPort, ServicePort: r.DstPort, Class: flow.ServiceClass(r.DstPort)}
		if r.SrcPort < r.DstPort {
			a.Client, a.Server, a.ClientPort, a.ServicePort, a.FromServer = r.Dst, r.Src, r.DstPort, r.SrcPort, true
			a.Class = flow.ServiceClass(r.SrcPort)
		}
		to = append(to, a)
	}
	return to
}

// BenchmarkRows makes the rows of a window that is full of conversations.
func BenchmarkRows(b *testing.B) {
	batch := &flow.Batch{Sensor: "edge-1", Records: typical(200_000, 20_000)}
	attributions := quick(batch.Records, nil)
	s, err := rollup.NewShard(rollup.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	rows := 0
	for b.Loop() {
		b.StopTimer()
		s.Open(window, networks)
		s.Add(batch, attributions)
		inc := s.Close(rollup.Full)
		b.StartTimer()
		inc.Rows(func(*flow.Row) bool { rows++; return true })
		inc.Release()
	}
	b.ReportMetric(float64(rows)/float64(b.N), "rows/window")
}

// A million different conversations in an interval stand in less than 512 MiB, with another window gathering beside.
func TestMemoryOfAMillionConversations(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 200 MiB")
	}
	c := rollup.DefaultConfig()
	c.Conversation.Top = 250_000
	s, err := rollup.NewShard(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Open(window, networks)
	const conversations, each = 1_000_000, 1000
	batch := &flow.Batch{Sensor: "edge-1", Records: make([]flow.Record, each)}
	before := memory()
	start := time.Now()
	for i := range conversations / each {
		for j := range batch.Records {
			batch.Records[j] = flow.Record{
				Key: flow.Key{
					Version: 4, Src: flow.Addr{Lo: uint64(i*each + j)}, Dst: flow.Addr{Lo: uint64(j)}, SrcPort: uint16(1024 + i), DstPort: 443,
					Proto: flow.ProtoTCP,
				},
				Bytes: uint64(i + 1), Packets: 1, First: noon, Last: noon, EndReason: flow.EndIdle,
			}
		}
		s.Add(batch, quick(batch.Records, nil))
	}
	took := time.Since(start)
	peak := memory() - before
	inc := s.Close(rollup.Full)
	rows := 0
	start = time.Now()
	inc.Rows(func(*flow.Row) bool { rows++; return true })
	peak = max(peak, memory()-before)
	t.Logf("%d MiB; gathered in %s, %d rows made in %s", peak>>20, took, rows, time.Since(start))
	if st := s.Stats().Measurements[rollup.MeasureConversation]; st.Keys != conversations || st.Overflow != 0 {
		t.Errorf("%+v", st)
	}
	if peak > 512<<20 {
		t.Errorf("%d MiB", peak>>20)
	}
}

// memory is what the process has from the system for its heap, garbage included.
func memory() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapSys - m.HeapReleased)
}

// Once its memory has grown a shard takes records without allocating.
func TestAddDoesNotAllocate(t *testing.T) {
	batch := &flow.Batch{Sensor: "edge-1", Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}, Records: typical(1000, 500)}
	attributions := quick(batch.Records, nil)
	s, err := rollup.NewShard(rollup.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	s.Open(window, networks)
	if n := testing.AllocsPerRun(20, func() { s.Add(batch, attributions) }); n != 0 {
		t.Errorf("%f allocations for 1000 records", n)
	}
}
