package ingest

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
)

// BenchmarkProcess takes datagrams through open, parse and validate, on one core. What the kernel needs to hand them
// over is not in it: see BenchmarkReceive.
func BenchmarkProcess(b *testing.B) {
	for _, bm := range []struct{ size, limit int }{{1472, 1}, {1472, 10}, {1472, 10000}, {8972, 10000}} {
		b.Run("size="+strconv.Itoa(bm.size)+"/records<="+strconv.Itoa(bm.limit), func(b *testing.B) {
			p := newBench(b)
			plain, records := plaintexts(b, seal.WindowBits, bm.size, bm.limit)
			var sealed [][]byte
			octets := 0
			for _, pt := range plain {
				sealed = append(sealed, p.datagram(b, pt))
				octets += len(sealed[len(sealed)-1])
			}
			b.SetBytes(int64(octets / len(sealed)))
			b.ReportAllocs()
			next := 0
			for b.Loop() {
				if next == len(sealed) {
					p.forget()
					next = 0
				}
				if r := p.take(sealed[next]); r != ReasonAccepted {
					b.Fatal(r)
				}
				next++
			}
			report(b, records)
		})
	}
}

func report(b *testing.B, records float64) {
	b.Helper()
	perSecond := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(perSecond, "datagrams/s")
	b.ReportMetric(perSecond*records, "flows/s")
	b.ReportMetric(records, "flows/datagram")
}

// BenchmarkJunk is what a flood costs.
func BenchmarkJunk(b *testing.B) {
	p := newBench(b)
	good := p.datagram(b, make([]byte, 1000))
	forged := bytes.Clone(good)
	forged[len(forged)-20] ^= 1
	for name, d := range map[string][]byte{"shape": make([]byte, 1472), "id": append([]byte("x"), good...), "hmac": forged} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.take(d)
			}
		})
	}
}

// BenchmarkReceive has datagrams read from a socket as well: what is timed is the reading of a full receive buffer.
func BenchmarkReceive(b *testing.B) {
	p := newBench(b)
	s, err := Listen(Config{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Processors: 1, ReceiveBuffer: 16 << 20,
	}, p.keys.Load().opener, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	r := s.readers[0]
	r.sink = func(batch *flow.Batch) Verdict {
		s.Settle(batch, Durable)
		return Accepted
	}
	conn, err := net.Dial("udp", s.Addrs()[0].String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const count = 2 * batchSize // what fits into the buffer that an ordinary user gets
	plain, records := plaintexts(b, count, 1472, 10000)
	sealed := make([][]byte, count)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += count {
		b.StopTimer()
		p.now = s.now()
		s.keys.Store(&keyring{opener: p.keys.Load().opener, sensors: map[string]*sensor{testID: {id: testID}}})
		for i := range sealed {
			sealed[i] = p.datagram(b, plain[i])
			if _, err := conn.Write(sealed[i]); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for range count / batchSize {
			got, err := r.socket.batch.ReadBatch(r.messages, syscall.MSG_DONTWAIT)
			if err != nil || got != batchSize {
				b.Fatal(got, err)
			}
			r.take(r.messages[:got])
		}
	}
	b.StopTimer()
	if st := s.Stats(); st.Outcomes[ReasonAccepted] != st.Sockets[0].Datagrams {
		b.Fatalf("%+v", st.Outcomes)
	}
	report(b, records)
}
