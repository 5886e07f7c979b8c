package export_test

import (
	"context"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/testnet"
)

// BenchmarkAdd is a worker's cost for a record: with a sender that takes everything away, and at a full queue.
func BenchmarkAdd(b *testing.B) {
	r := record(1)
	b.Run("full", func(b *testing.B) {
		batcher := idle(b, 1).Batcher("eth0")
		defer batcher.Close()
		b.ReportAllocs()
		for b.Loop() {
			batcher.Add(&r)
		}
	})
	b.Run("taken", func(b *testing.B) {
		in := newDrain(b)
		s := run(b, config(in, newKey(b)))
		batcher := s.Batcher("eth0")
		defer batcher.Close()
		b.ReportAllocs()
		for b.Loop() {
			batcher.Add(&r)
		}
		b.ReportMetric(float64(s.Stats().Dropped[export.QueueFull].Records)/float64(b.N), "dropped/op")
	})
}

// BenchmarkSender is the whole stage, from a patient Batcher to a loopback socket: ns and allocations for a record,
// records in a datagram.
func BenchmarkSender(b *testing.B) {
	for name, limit := range map[string]int{"1472": 1472, "8972": 8972} {
		b.Run(name, func(b *testing.B) {
			cfg := config(newDrain(b), newKey(b))
			cfg.MaxDatagram = limit
			s := run(b, cfg)
			batcher := s.Batcher("eth0")
			batcher.WaitForRoom(context.Background())
			records := traffic(1 << 14)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				batcher.Add(&records[i&(1<<14-1)])
				i++
			}
			batcher.Close()
			stats := s.drain(b)
			if stats.Sent != stats.Added {
				b.Fatalf("sent %+v of %+v", stats.Sent, stats.Added)
			}
			b.ReportMetric(float64(stats.Sent.Records)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(stats.Sent.Records)/float64(stats.Datagrams), "records/datagram")
			b.ReportMetric(float64(stats.Octets)/float64(stats.Sent.Records), "octets/record")
		})
	}
}

// BenchmarkAcknowledged is the stage against a real collector's ingest, whose store takes everything at once; with and
// without a fifth of the datagrams lost.
func BenchmarkAcknowledged(b *testing.B) {
	for name, faults := range map[string]testnet.Faults{"clean": {}, "loss=20%": {Loss: 0.2}} {
		b.Run(name, func(b *testing.B) {
			key := newKey(b)
			f := newFar(b, key)
			f.result = func(*flow.Batch) ingest.Result { return ingest.Durable }
			proxy, err := testnet.NewProxy(testnet.ProxyConfig{Listen: "127.0.0.1:0", Target: f.addr.String(), Forward: faults})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = proxy.Close() }()
			to := f.addr
			if faults != (testnet.Faults{}) {
				to = proxy.Addr()
			}
			cfg := acknowledged(to.String(), key)
			cfg.ResendAfter, cfg.ResendMost = time.Second, 30*time.Second
			s := run(b, cfg)
			batcher := s.Batcher("eth0")
			batcher.WaitForRoom(context.Background())
			records := traffic(1 << 14)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				batcher.Add(&records[i&(1<<14-1)])
				i++
			}
			batcher.Close()
			stats := s.drain(b)
			if stats.Acked != stats.Added {
				b.Fatalf("acknowledged %+v of %+v", stats.Acked, stats.Added)
			}
			b.ReportMetric(float64(stats.Acked.Records)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(stats.Resends), "resends")
		})
	}
}

// newDrain is a bound socket that nobody reads: the kernel throws away what does not fit.
func newDrain(tb testing.TB) string {
	tb.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// traffic is about what a table ends in a second: clients of a few networks, servers anywhere, both directions.
func traffic(n int) []flow.Record {
	random := rand.New(rand.NewPCG(1, 2))
	out := make([]flow.Record, 0, n)
	ports := []uint16{443, 443, 443, 80, 53, 123, 22, 8443}
	for len(out) < n {
		r := record(len(out))
		r.Version, r.Src.Hi, r.Dst.Hi, r.VLAN = 4, 0, 0, 0
		r.Src = flow.Addr{Lo: 0x0a000000 | random.Uint64N(1<<12)}
		r.Dst = flow.Addr{Lo: 0x10000000 | random.Uint64N(1<<31)}
		r.SrcPort, r.DstPort = uint16(32768+random.IntN(28000)), ports[random.IntN(len(ports))]
		r.Packets = 1 + uint64(random.ExpFloat64()*20)
		r.Bytes = r.Packets * (60 + random.Uint64N(1200))
		r.First += random.Int64N(1e9)
		r.Last = r.First + random.Int64N(15e9)
		back := r
		back.Src, back.Dst, back.SrcPort, back.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
		out = append(out, r, back)
	}
	return out
}
