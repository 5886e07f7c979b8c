package influx_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
)

// benchmarkPool measures a record's way from Submit to the server's answer.
func benchmarkPool(b *testing.B, cfg influx.Config, writers int) {
	b.Helper()
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: filepath.Join(b.TempDir(), "dead.lp"), MaxSize: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = dead.Close() }()
	w, err := influx.Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	pool := store.DefaultConfig()
	pool.Writers = writers
	free := make(chan *flow.Batch, 1000)
	p, err := store.NewPool(pool, store.Deps{
		Writer: w, DeadLetters: dead, Log: slog.New(slog.DiscardHandler),
		Release: func(batch *flow.Batch, _ store.Outcome) { free <- batch },
	})
	if err != nil {
		b.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- p.Run(context.Background()) }()
	from := newSource("edge-1")
	for range cap(free) {
		free <- from.batch(30)
	}
	base := time.Now().UnixNano()
	b.ReportAllocs()
	for b.Loop() {
		batch := <-free
		batch.Base, base = base, base+30
		if err := p.Submit(batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Drain(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
	s := p.Stats()
	if s.Written.Records != uint64(b.N*30) {
		b.Fatalf("%+v", s)
	}
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(s.Lines)/seconds, "lines/s")
	b.ReportMetric(float64(s.Lines)/float64(s.Requests), "lines/request")
	b.ReportMetric(float64(w.Stats().BodyBytes)/float64(w.Stats().SentBytes), "gzip-ratio")
}

// BenchmarkHandOver encodes, compresses and sends to a server that only reads: our own cost, with that of the reading
// side of HTTP in the same process.
func BenchmarkHandOver(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	for name, encoding := range map[string]influx.Encoding{"gzip": influx.Gzip, "identity": influx.Identity} {
		b.Run(name, func(b *testing.B) {
			cfg := v1(server.URL)
			cfg.Encoding = encoding
			benchmarkPool(b, cfg, 1)
		})
	}
}

// BenchmarkRealServer is what an InfluxDB on the same machine takes.
func BenchmarkRealServer(b *testing.B) {
	path, err := influxtest.Find(b.Context(), influxtest.Debian)
	if err != nil {
		b.Skip(err)
	}
	server, err := influxtest.Start(b.Context(), influxtest.Config{Binary: path, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	if err := server.CreateDatabase(b.Context(), "flows"); err != nil {
		b.Fatal(err)
	}
	benchmarkPool(b, v1(server.URL()), 4)
}
