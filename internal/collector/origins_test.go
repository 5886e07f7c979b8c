package collector_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/collector"
	"flowsensor/internal/daemon"
	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
)

// deliver sends records as a sensor does, and returns when all are acknowledged.
func deliver(t *testing.T, key, collector string, records ...flow.Record) {
	t.Helper()
	c := export.DefaultConfig()
	var err error
	if c.Key, err = seal.LoadKeyFile(key); err != nil {
		t.Fatal(err)
	}
	c.ID, c.Collector, c.Keeping, c.FlushInterval = "edge-1", collector, export.InStateDir, 10*time.Millisecond
	c.StateDir = t.TempDir()
	sender, err := export.NewSender(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	batcher := sender.Batcher("eth1")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sender.Run(ctx) }()
	for i := range records {
		batcher.Add(&records[i])
	}
	batcher.Close()
	for deadline := time.Now().Add(20 * time.Second); sender.Stats().Acked.Records < uint64(len(records)); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not acknowledged: %+v", sender.Stats())
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	drain, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := sender.Drain(drain); err != nil {
		t.Error(err)
	}
	if err := sender.Close(); err != nil {
		t.Error(err)
	}
}

// lines gives the lines of a measurement in the line-protocol files below dir.
func lines(t *testing.T, dir, measurement string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "lines", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, measurement+",") {
				all = append(all, line)
			}
		}
	}
	return all
}

// What a sensor sends comes to the database with the systems that the collector knows, and what the sensor knew of routes.
func TestOriginsReachTheRows(t *testing.T) {
	table := filepath.Join(t.TempDir(), "prefixes.csv")
	if err := os.WriteFile(table, []byte("192.0.2.0/24,64500,\"Example, \"\"Inc.\"\"\"\n198.51.100.0/24,64501,Two\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	path, c := configured(t, fmt.Sprintf("[enrich]\nprefix_table = %q\n", table))
	listen := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	c.Ingest.Listen = []string{listen}
	s := collector.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	record := func(src, dst string) flow.Record {
		r := flow.Record{Bytes: 40, Packets: 1, First: 1_700_000_000_000_000_000, Last: 1_700_000_000_000_000_000, EndReason: flow.EndIdle}
		r.Src, r.Version = flow.AddrFrom(netip.MustParseAddr(src))
		r.Dst, _ = flow.AddrFrom(netip.MustParseAddr(dst))
		return r
	}
	routed := record("192.0.2.1", "198.51.100.7")
	routed.SrcMask, routed.DstMask, routed.OutIf = 17, 1, 9
	routed.NextHop, _ = flow.AddrFrom(netip.MustParseAddr("192.0.2.254"))
	deliver(t, filepath.Join(filepath.Dir(path), "key"), listen, routed, record("203.0.113.1", "192.0.2.1"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	rows := lines(t, filepath.Dir(path), "flow")
	if len(rows) != 2 {
		t.Fatalf("rows: %q", rows)
	}
	for _, row := range rows {
		want, not := []string{`,out_if=9i,next_hop="192.0.2.254",src_mask=16i,dst_mask=0i,src_as=64500i,dst_as=64501i,`, `,dst_as_name="Two",`}, "sampling"
		name := `,src_as_name="Example, \"Inc.\"",`
		if strings.Contains(row, `src="203.0.113.1"`) {
			want, not, name = []string{`,dst_mask=24i,dst_as=64500i,`}, "src_as", `,dst_as_name="Example, \"Inc.\"",`
		}
		for _, want := range append(want, name) {
			if !strings.Contains(row, want) || strings.Contains(row, not) {
				t.Errorf("row %s\nwant %s, not %s", row, want, not)
			}
		}
	}
}

// A file that is wrong at the start is refused with its own line and that of the configuration.
func TestOriginsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	table, database := filepath.Join(dir, "prefixes.csv"), filepath.Join(dir, "asn.mmdb")
	for file, content := range map[string]string{table: "192.0.2.0/24,64500\n192.0.2.0/33,1\n", database: "nonsense"} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path, c := configured(t, fmt.Sprintf("[enrich]\nasn_database = %q\nprefix_table = %q\n", database, table))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	above, _, _ := strings.Cut(string(text), "asn_database")
	line := strings.Count(above, "\n") + 1
	s := collector.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	for name, err := range map[string]error{"start": s.Start(t.Context()), "check": collector.Check(path, &strings.Builder{})} {
		for _, want := range []string{
			fmt.Sprintf("%s:%d: enrich.asn_database: %s: not a whole MaxMind DB file", path, line, database),
			fmt.Sprintf("%s:%d: enrich.prefix_table: %s:2: %q is no prefix", path, line+1, table, "192.0.2.0/33"),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v\nwant %s", name, err, want)
			}
		}
	}
}
