package influxtest

import (
	"context"
	"os"
)

// TB is what is needed of a testing.TB, without the package: the demonstration starts servers too.
type TB interface {
	Helper()
	Context() context.Context
	TempDir() string
	Cleanup(end func())
	Fatal(args ...any)
	Error(args ...any)
	Skip(args ...any)
}

// ForTest starts a server that lives as long as the test. Where there is none of that release the test is skipped, but in
// CI it fails. Of the configuration Binary is filled in, and Dir where it is empty.
func ForTest(tb TB, release Release, cfg Config) *Server {
	tb.Helper()
	path, err := Find(tb.Context(), release)
	switch {
	case err != nil && os.Getenv("FLOWSENSOR_CI") == "1":
		tb.Fatal(err)
	case err != nil:
		tb.Skip(err)
	}
	cfg.Binary = path
	if cfg.Dir == "" {
		cfg.Dir = tb.TempDir()
	}
	server, err := Start(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return server
}

// WithDatabase is ForTest with Debian's release and an empty database.
func WithDatabase(tb TB, database string) *Server {
	tb.Helper()
	server := ForTest(tb, Debian, Config{})
	if err := server.CreateDatabase(tb.Context(), database); err != nil {
		tb.Fatal(err)
	}
	return server
}
