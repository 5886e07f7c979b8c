package influxtest_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"flowsensor/internal/store/influxtest"
	"flowsensor/internal/testgate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func find(t *testing.T, release influxtest.Release) string {
	t.Helper()
	path, err := influxtest.Find(t.Context(), release)
	if err != nil {
		testgate.Skip(t, err)
	}
	return path
}

func write(t *testing.T, server *influxtest.Server, lines string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/write?db=d", bytes.NewBufferString(lines))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status)
	}
}

func TestDataSurvivesRestarts(t *testing.T) {
	ctx := t.Context()
	server := influxtest.ForTest(t, influxtest.Debian, influxtest.Config{})
	if err := server.CreateDatabase(ctx, "d"); err != nil {
		t.Fatal(err)
	}
	write(t, server, "flow,a=x n=2i 1700000000000000001\nflow,a=y n=3i 1700000000000000002\n")
	address := server.URL()
	for name, end := range map[string]func() error{"stop": server.Stop, "kill": server.Kill} {
		if err := end(); err != nil {
			t.Fatal(name, err)
		}
		if err := server.Start(ctx); err != nil {
			t.Fatal(name, err)
		}
		if server.URL() != address {
			t.Errorf("after %s at %s, before at %s", name, server.URL(), address)
		}
		n, err := server.Count(ctx, "d", "flow", "n")
		if err != nil || n != 2 {
			t.Errorf("after %s: %d points, %v", name, n, err)
		}
	}
	if sum, err := server.Sum(ctx, "d", "flow", "n"); err != nil || sum != 5 {
		t.Errorf("sum %d, %v", sum, err)
	}
	points, err := server.Points(ctx, "d", "flow")
	if err != nil || len(points) != 2 || points[0]["a"] != "x" {
		t.Fatalf("%v, %v", points, err)
	}
	if at, err := influxtest.Integer(points[1]["time"]); err != nil || at != 1700000000000000002 {
		t.Errorf("time %d, %v", at, err)
	}
	if _, err := server.Query(ctx, "d", "SELEKT"); err == nil {
		t.Error("a bad query is no error")
	}
}

func TestStartFails(t *testing.T) {
	if _, err := influxtest.Start(t.Context(), influxtest.Config{Binary: "/nonexistent", Dir: t.TempDir()}); err == nil {
		t.Error("a missing binary starts")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := influxtest.Start(ended, influxtest.Config{Binary: find(t, influxtest.Debian), Dir: t.TempDir()}); err == nil {
		t.Error("a cancelled start is no error")
	}
}
