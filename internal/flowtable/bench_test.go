package flowtable_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
)

// traffic makes packets: each belongs to a new flow or, at random, to one of the newest ones.
type traffic struct {
	random *rand.Rand
	flows  uint64 // how many take part at a time
	newest uint64
	fresh  uint64 // new flows in a hundred packets
	now    int64
	step   int64 // ns from packet to packet
}

func (tr *traffic) fill(batch []flow.Packet) {
	for i := range batch {
		number := tr.newest - tr.random.Uint64N(tr.flows)
		if tr.fresh > 0 && tr.random.Uint64N(100) < tr.fresh {
			tr.newest++
			number = tr.newest
		}
		tr.now += tr.step
		batch[i] = packetOf(number, tr.now)
	}
}

// packetOf is a packet of the flow with that number.
func packetOf(number uint64, at int64) flow.Packet {
	return flow.Packet{
		Key: flow.Key{
			Src: flow.Addr{Lo: 0x0a000000 | number>>16&0xffffff}, Dst: flow.Addr{Lo: 0xc6336401}, IfIndex: 2,
			SrcPort: uint16(number), DstPort: 443, Proto: flow.ProtoTCP, Version: 4,
		},
		Time: at, Bytes: 800, Packets: 1, TCPFlags: flow.ACK,
	}
}

// cpuTime is the processor time of this thread: on a machine shared with others the wall clock says little.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// measure reports the processor time per packet of account, which gets the packets of tr in batches, 1024 packets a call.
func measure(b *testing.B, tr *traffic, account func(packets []flow.Packet)) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	packets := make([]flow.Packet, 1024)
	var spent time.Duration
	var count int
	for b.Loop() {
		tr.fill(packets)
		start := cpuTime(b)
		account(packets)
		spent += cpuTime(b) - start
		count += len(packets)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(spent)/float64(count), "ns/packet")
}

// BenchmarkAccount: "aging" is a table with room, whose flows leave by the inactive timer; "full" one that has room for
// just the flows that take part, so that every new flow evicts another.
func BenchmarkAccount(b *testing.B) {
	for _, flows := range []int{1_000, 100_000, 1_000_000, 10_000_000} {
		for _, fresh := range []uint64{0, 10, 100} {
			cfg := defaults(flows)
			tr := traffic{flows: uint64(flows), newest: uint64(flows), fresh: fresh, step: 1000}
			if flows > 1_000_000 {
				cfg.Inactive = 2 * time.Minute // as long as that many flows take to see a packet each
			}
			if fresh > 0 {
				b.Run(fmt.Sprintf("flows=%d/new=%d/full", flows, fresh), func(b *testing.B) { benchmarkAccount(b, cfg, tr) })
				// As many new flows in an inactive timeout as there are to be held.
				cfg.MaxFlows, cfg.Inactive = 2*flows+50_000, 15*time.Second
				tr.step = int64(cfg.Inactive) * int64(fresh) / 100 / int64(flows)
			}
			b.Run(fmt.Sprintf("flows=%d/new=%d/aging", flows, fresh), func(b *testing.B) { benchmarkAccount(b, cfg, tr) })
		}
	}
}

func benchmarkAccount(b *testing.B, cfg flowtable.Config, tr traffic) {
	b.Helper()
	if tr.flows > 1_000_000 && testing.Short() {
		b.Skip("needs up to 2.5 GB of memory: run without -short")
	}
	table, err := flowtable.New(cfg, func(*flow.Record) {})
	if err != nil {
		b.Fatal(err)
	}
	tr.random = rand.New(rand.NewPCG(1, 2))
	packets := make([]flow.Packet, 32)
	for n := uint64(0); n < tr.flows; n += 8 {
		for i := range packets[:8] {
			packets[i] = packetOf(tr.newest-n-uint64(i), 0)
		}
		table.Account(packets[:8], 0)
	}
	measure(b, &tr, func(packets []flow.Packet) {
		for ; len(packets) > 0; packets = packets[32:] {
			table.Account(packets[:32], packets[31].Time)
		}
		table.Expire(tr.now)
	})
	stats := table.Stats()
	b.ReportMetric(float64(stats.Flows), "flows")
	b.ReportMetric(float64(stats.Evictions)/float64(stats.Packets), "evictions/packet")
	if err := table.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkMap is the plain alternative, to see what the table is worth: a Go map of counters, which ages nothing.
func BenchmarkMap(b *testing.B) {
	for _, flows := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			counters := make(map[flow.Key]*flow.Record, flows)
			for n := range uint64(flows) {
				p := packetOf(n+1, 0)
				counters[p.Key] = &flow.Record{Key: p.Key}
			}
			tr := traffic{random: rand.New(rand.NewPCG(1, 2)), flows: uint64(flows), newest: uint64(flows), step: 1000}
			measure(b, &tr, func(packets []flow.Packet) {
				for i := range packets {
					p := &packets[i]
					r := counters[p.Key]
					r.Packets, r.Bytes, r.Last, r.TCPFlags = r.Packets+1, r.Bytes+p.Bytes, p.Time, r.TCPFlags|p.TCPFlags
				}
			})
		})
	}
}

// BenchmarkLap is one round of the sweep in which nothing is due: what aging costs in a second.
func BenchmarkLap(b *testing.B) {
	for _, flows := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			table, err := flowtable.New(defaults(flows), func(*flow.Record) {})
			if err != nil {
				b.Fatal(err)
			}
			packets := make([]flow.Packet, 32)
			for n := 0; n < flows; n += len(packets) {
				for i := range packets {
					packets[i] = packetOf(uint64(n+i), 0)
				}
				table.Account(packets, 0)
			}
			for b.Loop() {
				table.Lap(1e9)
			}
			if err := table.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
