package files_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
	"flowsensor/internal/store/files"
	"flowsensor/internal/store/influxtest"
	"flowsensor/internal/testgate"
)

// fill runs a pool of batches into the directory: what a collector without a database does.
func fill(t *testing.T, cfg files.Config, records int) {
	t.Helper()
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: filepath.Join(t.TempDir(), "dead.lp"), MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dead.Close() }()
	w := open(t, cfg)
	pool := store.DefaultConfig()
	pool.Lines = 100
	p, err := store.NewPool(pool, store.Deps{Writer: w, DeadLetters: dead, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- p.Run(context.Background()) }()
	base := time.Now().UnixNano()
	for i := 0; i < records; i += 20 {
		b := &flow.Batch{Sensor: "edge-1", Base: base + int64(i), Interfaces: []flow.Interface{{Index: 1, Name: `odd "name", with\ all`}}}
		for j := range 20 {
			b.Records = append(b.Records, flow.Record{
				Key:   flow.Key{Src: flow.Addr{Lo: uint64(i + j)}, Dst: flow.Addr{Lo: 1}, Proto: 6, IfIndex: 1, Version: 4},
				Bytes: 100, Packets: 2, First: base, Last: base, EndReason: flow.EndIdle,
			})
		}
		if err := p.Submit(b); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	closed(t, w)
	if n := p.Stats().Written.Records; n != uint64(records) {
		t.Errorf("%d records written", n)
	}
}

func rows(t *testing.T, server *influxtest.Server, want int64) {
	t.Helper()
	n, err := server.Count(t.Context(), "flows", "flow", "bytes")
	if err != nil || n != want {
		t.Errorf("%d rows of %d, %v", n, want, err)
	}
	if sum, err := server.Sum(t.Context(), "flows", "flow", "packets"); err != nil || sum != 2*want {
		t.Errorf("%d packets, %v", sum, err)
	}
}

// TestImportByHTTP sends every file as it is: curl --data-binary @FILE.
func TestImportByHTTP(t *testing.T) {
	server := influxtest.WithDatabase(t, "flows")
	for _, compression := range []files.Compression{files.None, files.Gzip} {
		cfg := config(t.TempDir())
		cfg.MaxSize, cfg.Compression = 50_000, compression
		fill(t, cfg, 1000)
		if _, err := server.Query(t.Context(), "flows", "DROP SERIES FROM flow"); err != nil {
			t.Fatal(err)
		}
		for _, name := range names(t, cfg.Dir) {
			text, err := os.ReadFile(filepath.Join(cfg.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/write?db=flows&precision=ns", bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if compression == files.Gzip {
				req.Header.Set("Content-Encoding", "gzip")
			}
			req.Close = true
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				t.Errorf("%s: %s", name, resp.Status)
			}
		}
		rows(t, server, 1000)
	}
}

// TestImportByClient runs InfluxDB's own client, as the package's comment says.
func TestImportByClient(t *testing.T) {
	client, err := exec.LookPath("influx")
	if err != nil {
		testgate.Skip(t, "apt-get install influxdb-client:", err)
	}
	server := influxtest.WithDatabase(t, "flows")
	cfg := config(t.TempDir())
	cfg.MaxSize = 50_000
	fill(t, cfg, 500)
	zipped := config(t.TempDir())
	zipped.MaxSize, zipped.Compression = 50_000, files.Gzip
	fill(t, zipped, 500)
	host, port, _ := strings.Cut(strings.TrimPrefix(server.URL(), "http://"), ":")
	for dir, extra := range map[string][]string{cfg.Dir: nil, zipped.Dir: {"-compressed"}} {
		for _, name := range names(t, dir) {
			args := append([]string{"-host", host, "-port", port, "-import", "-path=" + filepath.Join(dir, name), "-precision=ns"}, extra...)
			if out, err := exec.CommandContext(t.Context(), client, args...).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
	}
	rows(t, server, 1000)
}
