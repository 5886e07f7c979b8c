package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/testnet"
)

// nats starts three nodes of a JetStream cluster: the server that the collector embeds, as a program of its own.
func (r *rig) nats(ctx context.Context) (nodes []*testnet.Program, url string) {
	r.t.Helper()
	binary := filepath.Join(programs(r.t), "nats-server")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		r.t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	var urls []string
	for i := range 3 {
		p, err := r.span.C.Start(ctx, filepath.Join(r.dir, fmt.Sprintf("nats-%d.log", i)), binary,
			"--jetstream", "--store_dir", filepath.Join(r.dir, fmt.Sprintf("nats-%d", i)), "--name", fmt.Sprintf("node-%d", i),
			"--addr", "127.0.0.1", "--port", fmt.Sprint(4222+i), "--http_port", fmt.Sprint(8222+i),
			"--cluster", fmt.Sprintf("nats://127.0.0.1:%d", 6222+i), "--cluster_name", "flows",
			"--routes", "nats://127.0.0.1:6222,nats://127.0.0.1:6223,nats://127.0.0.1:6224")
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(p.Kill)
		nodes = append(nodes, p)
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", 4222+i))
	}
	for i, p := range nodes {
		if err := p.Await(r.context(), fmt.Sprintf("http://127.0.0.1:%d/healthz?js-server-only=true", 8222+i)); err != nil {
			r.t.Fatal(err)
		}
	}
	return nodes, strings.Join(urls, ",")
}

// Two collectors share a cluster of three nodes. The one that takes datagrams and writes is killed, then a node: the
// sensor finds the other collector, which takes over the writing, and every flow is one row.
func TestCollectorAndNodeOfClusterKilled(t *testing.T) {
	r := newRig(t)
	server := r.influx()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	nodes, url := r.nats(ctx)
	const other = "http://127.0.0.1:9988"
	common := fmt.Sprintf("[journal]\nurl = %q\nreplicas = 3\nlease = \"2s\"\n[store]\nkind = \"influxdb\"\nage = \"100ms\"\n[store.influxdb]\nurl = %q\n", url, server.URL())
	r.start(strings.Replace(quickFlows, `["127.0.0.1:9999"]`, `["127.0.0.1:9999", "127.0.0.1:9989"]`, 1), common)
	second := fmt.Sprintf("id = \"other\"\nstate_dir = %q\n[[sensor]]\nid = \"edge-1\"\nkey_files = [%q]\n[ingest]\nlisten = [\"127.0.0.1:9989\"]\n[http]\nlisten = \"127.0.0.1:9988\"\n%s",
		filepath.Join(r.dir, "other"), filepath.Join(r.dir, "key"), common)
	r.write("other.toml", second, 0o644)
	standby, err := r.span.C.Start(ctx, filepath.Join(r.dir, "other.log"), filepath.Join(programs(t), "flow-collector"), "run", "--config", filepath.Join(r.dir, "other.toml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Kill)
	if err := standby.Await(r.context(), other+"/healthz"); err != nil {
		t.Fatal(err)
	}

	source := newDrizzle(t, r.span)
	source.fall(2 * time.Second)
	r.eventually("rows by the first collector", func() bool { return r.count(server) > 0 })
	r.collector.Kill()
	source.fall(2 * time.Second)
	r.eventually("datagrams at the other collector", func() bool {
		return r.metric(other, "flow_collector_accepted_records_total") > 0
	})
	nodes[0].Kill()
	source.fall(2 * time.Second)
	r.eventually("all flows are rows", func() bool { return r.count(server) >= int64(len(source.rows)) })
	r.eventually("the sensor keeps nothing", func() bool { return r.metric(sensorPage, "flow_sensor_pending_records") == 0 })
	if n := r.metric(sensorPage, "flow_sensor_export_failovers_total"); n == 0 {
		t.Error("the sensor did not look for another collector")
	}
	if err := r.sensor.Stop(r.context()); err != nil {
		t.Error(err)
	}
	if err := standby.Stop(r.context()); err != nil {
		t.Error(err)
	}
	r.sums(server, source.packets, source.bytes)
	rows, err := server.Points(r.context(), "flows", "flow")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, r, rows, source.rows)
}
