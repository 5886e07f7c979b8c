package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
)

// BenchmarkBacklog has a sender hand a backlog of a million flows to a collector, as they are shipped, and waits until the
// journal has all of it on disk. flows/cpu-s is what one core of the collector bears: receive, open, parse, validate,
// journal with fsync, acknowledge.
func BenchmarkBacklog(b *testing.B) {
	r := newRig(b)
	const away = "[store]\nkind = \"influxdb\"\n[store.influxdb]\nurl = \"http://127.0.0.1:1\"\n"
	r.configure(quickFlows, away)
	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(stop)
	r.collector = r.launch(ctx, programs(b), "collector", collectorPage)
	key, err := seal.LoadKeyFile(filepath.Join(r.dir, "key"))
	if err != nil {
		b.Fatal(err)
	}
	cfg := export.DefaultConfig()
	cfg.ID, cfg.Key, cfg.Collector, cfg.StateDir = "edge-1", key, "127.0.0.1:9999", b.TempDir()
	records := conversations(1_000_000)
	var took, spent time.Duration
	flows := 0
	for b.Loop() {
		before, began := cpuTime(b, r.collector.PID()), time.Now()
		r.deliver(ctx, cfg, records)
		took += time.Since(began)
		spent += cpuTime(b, r.collector.PID()) - before
		flows += len(records)
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/backlog")
	b.ReportMetric(float64(flows)/took.Seconds(), "flows/s")
	b.ReportMetric(float64(flows)/spent.Seconds(), "flows/cpu-s")
	if got := int(r.metric(collectorPage, "flow_collector_durable_records_total")); got != flows {
		b.Errorf("%d records are durable, %d were sent", got, flows)
	}
}

// deliver sends the records and returns when all of them are acknowledged.
func (r *rig) deliver(ctx context.Context, cfg export.Config, records []flow.Record) {
	r.t.Helper()
	var s *export.Sender
	err := r.span.C.Do(func() (err error) { // the socket is of the namespace it is made in
		s, err = export.NewSender(cfg, slog.New(slog.DiscardHandler))
		return err
	})
	if err != nil {
		r.t.Error(err)
		return
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	batcher := s.Batcher("eth0")
	batcher.WaitForRoom(ctx)
	go func() { done <- s.Run(running) }()
	for i := range records {
		batcher.Add(&records[i])
	}
	batcher.Close()
	for s.Stats().Pending.Records > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		r.t.Error(err)
	}
	if err := s.Drain(ctx); err != nil {
		r.t.Error(err)
	}
	if err := s.Close(); err != nil {
		r.t.Error(err)
	}
}

// conversations gives flow records in pairs, as a mirror port has them.
func conversations(n int) []flow.Record {
	random := rand.New(rand.NewPCG(1, 2))
	records := make([]flow.Record, 0, n)
	now := time.Now().UnixNano()
	for len(records) < n {
		now += random.Int64N(10_000_000)
		r := flow.Record{
			Key: flow.Key{
				Src: flow.Addr{Lo: 10<<24 | uint64(random.Uint32N(1<<14))}, Dst: flow.Addr{Lo: uint64(random.Uint32N(1 << 16))},
				SrcPort: uint16(32768 + random.Uint32N(28000)), DstPort: 443, Proto: 6, Version: 4, IfIndex: 2,
			},
			Packets: 1 + uint64(random.ExpFloat64()*20), First: now - random.Int64N(1e9), Last: now, EndReason: flow.EndFIN, TCPFlags: 0x1b, Handshake: 1,
		}
		r.Bytes = r.Packets * uint64(60+random.Uint32N(1000))
		back := r
		back.Src, back.Dst, back.SrcPort, back.DstPort, back.Handshake = r.Dst, r.Src, r.DstPort, r.SrcPort, 2
		records = append(records, r, back)
	}
	return records[:n]
}

// cpuTime is the user and system time of a process, all threads together (proc_pid_stat(5), fields 14 and 15).
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ
}

// BenchmarkManySensors has a thousand sensors send to one collector, each a report and a full batch, and says how much
// memory the collector takes then.
func BenchmarkManySensors(b *testing.B) {
	const sensors = 1000
	r := newRig(b)
	var tables strings.Builder
	keys := make([]seal.Key, sensors)
	for i := range keys {
		key, err := seal.GenerateKey()
		if err != nil {
			b.Fatal(err)
		}
		keys[i] = key
		r.write(fmt.Sprintf("key-%d", i), key.Encode(), 0o600)
		fmt.Fprintf(&tables, "[[sensor]]\nid = \"many-%d\"\nkey_files = [%q]\n", i, filepath.Join(r.dir, fmt.Sprintf("key-%d", i)))
	}
	r.configure(quickFlows, tables.String()+"[store]\nkind = \"influxdb\"\n[store.influxdb]\nurl = \"http://127.0.0.1:1\"\n")
	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(stop)
	r.collector = r.launch(ctx, programs(b), "collector", collectorPage)
	records := conversations(56)
	for b.Loop() {
		var sending sync.WaitGroup
		turn := make(chan struct{}, 50)
		for i := range keys {
			cfg := export.DefaultConfig()
			cfg.ID, cfg.Key, cfg.Collector, cfg.Keeping, cfg.Queue = fmt.Sprintf("many-%d", i), keys[i], "127.0.0.1:9999", export.InMemory, 1
			turn <- struct{}{}
			sending.Go(func() {
				r.deliver(ctx, cfg, records)
				<-turn
			})
		}
		sending.Wait()
	}
	b.ReportMetric(float64(resident(b, r.collector.PID()))/(1<<20), "MiB-resident")
	if got := r.metric(collectorPage, "flow_collector_durable_records_total"); got != float64(sensors*len(records)*b.N) {
		b.Errorf("%v records are durable", got)
	}
}

// resident is a process's memory at its highest (proc_pid_status(5), VmHWM).
func resident(b *testing.B, pid int) (octets uint64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscanf(rest, "%d kB", &octets); err != nil {
		b.Fatal(err)
	}
	return octets << 10
}
