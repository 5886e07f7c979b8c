package collector

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
	"flowsensor/internal/wire"
)

// benchConfig has the defaults, a thousand prefixes and ten rules.
func benchConfig() Config {
	c := Defaults()
	for i := range 1000 {
		c.Networks = append(c.Networks, NetworkConfig{
			Name: fmt.Sprintf("net-%d", i%20), Prefixes: []string{fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)}, Ours: i%2 == 0,
		})
	}
	for i := range 10 {
		c.RoleRules = append(c.RoleRules, RoleConfig{Source: fmt.Sprintf("net-%d", i), Action: "port_match", Ports: []int{9000 + i}, Precedence: "source"})
	}
	return c
}

// mirrored gives records as a mirror port makes them, ending within a second from at on.
func mirrored(r *rand.Rand, n int, at int64) []flow.Record {
	all := make([]flow.Record, n)
	for i := range all {
		last := at + r.Int64N(int64(time.Second))
		length := r.Int64N(int64(time.Second))
		if r.IntN(4) == 0 {
			length = r.Int64N(int64(time.Minute))
		}
		all[i] = flow.Record{
			Key: flow.Key{
				Src: flow.Addr{Lo: 0x0a000000 | uint64(r.Uint32N(20_000))}, Dst: flow.Addr{Lo: 0xc0a80000 | uint64(r.Uint32N(2000))}, Version: 4,
				SrcPort: 1024 + uint16(r.Uint32N(60000)), DstPort: []uint16{443, 80, 53, 22, 8080}[r.IntN(5)], IfIndex: 2,
				Proto: []uint8{flow.ProtoTCP, flow.ProtoTCP, flow.ProtoUDP}[r.IntN(3)],
			},
			Bytes: 40 + r.Uint64N(1_000_000), Packets: 1 + r.Uint64N(1000), First: last - length, Last: last,
			TCPFlags: uint16(r.Uint32N(64)), Handshake: uint8(r.IntN(2)), EndReason: flow.EndReason(1 + r.IntN(4)),
		}
		if i%2 == 1 {
			k := &all[i].Key
			k.Src, k.Dst, k.SrcPort, k.DstPort = k.Dst, k.Src, k.DstPort, k.SrcPort
		}
	}
	return all
}

const (
	benchStart  = int64(1_700_000_040_000_000_000) // of a minute
	benchWindow = benchStart / int64(window)
)

func benchRoller(b *testing.B) *roller {
	b.Helper()
	c := benchConfig()
	r, err := newRollups(c)
	if err != nil {
		b.Fatal(err)
	}
	explain(b, r, c)
	return r.gatherer(0).(*roller)
}

// BenchmarkRollup decodes batches, attributes their records, and takes them into traffic and conversations, with the
// defaults: what a shard's one goroutine does.
func BenchmarkRollup(b *testing.B) {
	e := wire.NewFlowsEncoder(1100)
	var bodies [][]byte
	records := mirrored(rand.New(rand.NewPCG(1, 2)), 200_000, benchStart)
	for i := 0; i < len(records); {
		for e.Reset(); i < len(records) && e.Add(&records[i], "eth0"); i++ {
		}
		bodies = append(bodies, e.AppendBody(nil, wire.Numbers{Boot: 1, Seq: 1, Base: benchStart}))
	}
	g := benchRoller(b)
	number := benchWindow
	g.Open(number)
	batch := &flow.Batch{Sensor: "edge-1"}
	n, count := 0, 0
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		if err := wire.Parse(flow.Flows, bodies[n%len(bodies)], batch); err != nil {
			b.Fatal(err)
		}
		g.Add(batch)
		count += len(batch.Records)
		if n++; n%len(bodies) == 0 {
			_ = g.Close(journal.Full)
			number++
			g.Open(number)
		}
	}
	spent := processorTime(b) - before
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(count), "ns/record")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(count), "cpu-ns/record")
	b.ReportMetric(float64(count)/spent.Seconds(), "records/core-s")
}

// processorTime is what the process has used of all cores: what counts where others use them as well.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkPoints says how many points a second of traffic becomes, with the defaults and beside raw flows, and how many of
// each kind InfluxDB takes in a second.
func BenchmarkPoints(b *testing.B) {
	server := influxtest.WithDatabase(b, "flows")
	w, err := influx.Open(influx.Config{URL: server.URL(), API: influx.V1, Database: "flows", Timeout: 30 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: filepath.Join(b.TempDir(), "dead"), MaxSize: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = dead.Close() }()
	done := make(chan struct{}, 10_000)
	pool, err := store.NewPool(store.DefaultConfig(), store.Deps{
		Writer: w, DeadLetters: dead, Log: slog.New(slog.DiscardHandler), Release: func(*flow.Batch, store.Outcome) { done <- struct{}{} },
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	go func() { _ = pool.Run(ctx) }()
	const perSecond, minutes = 50_000, 1
	for b.Loop() {
		g := benchRoller(b)
		g.pool = pool
		rolled := rollMinutes(b, g, perSecond, minutes)
		start := time.Now()
		batches := rawBatches(perSecond)
		for _, batch := range batches {
			if err := pool.Submit(batch); err != nil {
				b.Fatal(err)
			}
		}
		for range batches {
			<-done
		}
		raw := time.Since(start)
		rows := pool.Stats().Written.Rows
		b.ReportMetric(perSecond, "raw-points/s-made")
		b.ReportMetric(float64(rows)/(60*minutes), "rollup-points/s-made")
		b.ReportMetric(perSecond/raw.Seconds(), "raw-points/s-stored")
		b.ReportMetric(float64(rows)/rolled.Seconds(), "rollup-points/s-stored")
	}
}

// rollMinutes rolls up some minutes of traffic, and gives the time that storing their rows took.
func rollMinutes(b *testing.B, g *roller, perSecond, minutes int) (stored time.Duration) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for number := benchWindow; number < benchWindow+int64(minutes*longestWindows); number++ {
		g.Open(number)
		for second := range 10 {
			at := number*int64(window) + int64(second)*int64(time.Second)
			g.Add(&flow.Batch{Sensor: "edge-1", Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}, Records: mirrored(random, perSecond, at)})
		}
		edge := journal.Tick
		if (number+1)%longestWindows == 0 {
			edge = journal.Full
		}
		save := g.Close(edge)
		start := time.Now()
		if err := save(b.Context()); err != nil {
			b.Fatal(err)
		}
		stored += time.Since(start)
	}
	return stored
}

func rawBatches(records int) (batches []*flow.Batch) {
	random := rand.New(rand.NewPCG(3, 4))
	for i := range records / 50 {
		batches = append(batches, &flow.Batch{
			Sensor: "edge-1", Base: benchStart + int64(i)*1000, Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}},
			Records: mirrored(random, 50, benchStart),
		})
	}
	return batches
}
