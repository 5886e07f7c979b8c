package influx_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
)

func createDatabase(t *testing.T, server *influxtest.Server) {
	t.Helper()
	if err := server.CreateDatabase(t.Context(), "flows"); err != nil {
		t.Fatal(err)
	}
}

// run is a pool that writes to a real server.
type run struct {
	*store.Pool
	log  *safeBuffer
	dead string
	done chan error
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func poolConfig() store.Config {
	cfg := store.DefaultConfig()
	cfg.Age, cfg.RetryInitial, cfg.RetryMax = 50*time.Millisecond, 10*time.Millisecond, 200*time.Millisecond
	return cfg
}

func newRun(t *testing.T, cfg store.Config, target influx.Config) *run {
	t.Helper()
	r := &run{log: &safeBuffer{}, dead: filepath.Join(t.TempDir(), "dead.lp"), done: make(chan error, 1)}
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: r.dead, MaxSize: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r.Pool, err = store.NewPool(cfg, store.Deps{Writer: open(t, target), DeadLetters: dead, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dead.Close() })
	go func() { r.done <- r.Run(context.Background()) }()
	return r
}

// finish drains and checks the sums.
func (r *run) finish(t *testing.T, within time.Duration) store.Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Errorf("%v\n%s", err, r.log)
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	s := r.Stats()
	records := s.Written.Records + s.Pending.Records
	for _, c := range s.DeadLettered {
		records += c.Records
	}
	for _, c := range s.Dropped {
		records += c.Records
	}
	if s.Pending != (store.Count{}) || s.Submitted.Records != records {
		t.Errorf("%+v", s)
	}
	return s
}

// wait waits until the log holds the text.
func (r *run) wait(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(r.log.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not in the log:\n%s", text, r.log)
		}
	}
}

// source makes batches with the base stamps of one sensor: no two records share a time.
type source struct {
	rand *rand.Rand
	base int64
	name string
}

func newSource(name string) *source {
	return &source{rand: rand.New(rand.NewPCG(1, uint64(len(name)))), base: time.Now().UnixNano(), name: name}
}

func (s *source) batch(records int) *flow.Batch {
	b := &flow.Batch{Sensor: s.name, Base: s.base, Interfaces: []flow.Interface{{Index: 1, Name: "eth0"}, {Index: 2, Name: "eth1"}}}
	s.base += int64(records)
	for range records {
		last := s.base - s.rand.Int64N(1e9)
		b.Records = append(b.Records, flow.Record{
			Key: flow.Key{
				Src: flow.Addr{Lo: uint64(s.rand.Uint32())}, Dst: flow.Addr{Lo: uint64(s.rand.Uint32())}, Version: 4,
				SrcPort: uint16(s.rand.Uint32()), DstPort: 443, Proto: []uint8{6, 17}[s.rand.IntN(2)], IfIndex: 1 + s.rand.Uint32N(3),
			},
			Bytes: 40 + s.rand.Uint64N(1e6), Packets: 1 + s.rand.Uint64N(1000), First: last - 1e9, Last: last,
			EndReason: flow.EndReason(1 + s.rand.IntN(4)),
		})
	}
	return b
}

func (s *source) batches(n, records int) []*flow.Batch {
	all := make([]*flow.Batch, n)
	for i := range all {
		all[i] = s.batch(records)
	}
	return all
}

func (r *run) submit(t *testing.T, batches []*flow.Batch) {
	t.Helper()
	for _, b := range batches {
		if err := r.Submit(b); err != nil {
			t.Fatal(err)
		}
	}
}

// expect compares the measurement with the records, row by row.
func expect(t *testing.T, server *influxtest.Server, batches []*flow.Batch) {
	t.Helper()
	rows, err := server.Points(t.Context(), "flows", "flow")
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]*flow.Record)
	for _, b := range batches {
		for i := range b.Records {
			want[fmt.Sprint(b.Sensor, " ", b.Base+int64(i))] = &b.Records[i]
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d rows for %d records", len(rows), len(want))
	}
	for _, row := range rows {
		key := fmt.Sprint(row["sensor"], " ", row["time"])
		r := want[key]
		delete(want, key)
		if r == nil {
			t.Errorf("a row that is no record: %v", row)
			continue
		}
		iface := map[uint32]string{1: "eth0", 2: "eth1", 3: "3"}[r.IfIndex]
		got := fmt.Sprintln(row["src"], row["dst"], row["src_port"], row["bytes"], row["packets"], row["first"], row["end_reason"], row["proto"], row["iface"])
		if s := fmt.Sprintln(r.Src.Netip(4), r.Dst.Netip(4), r.SrcPort, r.Bytes, r.Packets, r.First/1000, r.EndReason, r.Proto, iface); got != s {
			t.Fatalf("row    %srecord %s", got, s)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d records have no row", len(want))
	}
}
