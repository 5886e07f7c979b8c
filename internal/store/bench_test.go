package store_test

import (
	"math/rand/v2"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
)

// typical gives records as a mirror port makes them: IPv4, mostly TCP, times within the last seconds.
func typical(records int) *flow.Batch {
	r := rand.New(rand.NewPCG(11, 12))
	b := &flow.Batch{Sensor: "edge-1", Base: 1_700_000_000_000_000_000, Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}}
	for range records {
		last := b.Base - r.Int64N(1e9)
		b.Records = append(b.Records, flow.Record{
			Key: flow.Key{
				Src: flow.Addr{Lo: 0xc0a80000 | uint64(r.Uint32N(4096))}, Dst: flow.Addr{Lo: uint64(r.Uint32())}, Version: 4,
				SrcPort: 1024 + uint16(r.Uint32N(60000)), DstPort: []uint16{443, 80, 53, 22, 8080}[r.IntN(5)], IfIndex: 2,
				Proto: []uint8{6, 6, 17}[r.IntN(3)],
			},
			Bytes: 40 + r.Uint64N(1_000_000), Packets: 1 + r.Uint64N(1000), First: last - r.Int64N(15e9), Last: last,
			TCPFlags: uint16(r.Uint32N(64)), Handshake: uint8(r.IntN(2)), EndReason: flow.EndReason(1 + r.IntN(4)),
		})
	}
	return b
}

func BenchmarkEncode(b *testing.B) {
	in, e := typical(30), store.NewEncoder()
	var lines store.Lines
	refuse := func(int, store.DeadReason, error) { b.Error("refused") }
	b.ReportAllocs()
	for b.Loop() {
		if lines.Len() >= 5000 {
			store.Reset(&lines)
		}
		e.Encode(&lines, in, refuse)
	}
	perLine := float64(b.Elapsed().Nanoseconds()) / float64(b.N*len(in.Records))
	b.ReportMetric(perLine, "ns/line")
	b.ReportMetric(float64(len(lines.Bytes()))/float64(lines.Len()), "bytes/line")
}
