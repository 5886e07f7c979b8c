package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/store/influxtest"
	"flowsensor/internal/testnet"
)

// The pages of the programs, inside the mirror's namespace.
const (
	sensorPage    = "http://127.0.0.1:9997"
	collectorPage = "http://127.0.0.1:9998"
)

// rig is both programs in the namespace of a mirror port, and what they need.
type rig struct {
	t    testing.TB
	span *testnet.Net
	// sensing and collecting are where the programs run, the mirror's namespace unless a test says otherwise.
	sensing, collecting *testnet.Host
	dir                 string
	collector           *testnet.Program
	sensor              *testnet.Program
	// environment is given to the sensor, as NAME=value.
	environment []string
}

// programs builds both programs once for all tests, without the race detector: as they are shipped.
func programs(tb testing.TB) string {
	tb.Helper()
	dir, err := filepath.Abs("../../bin/e2e")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"sensor", "collector"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "flow-"+name), "flowsensor/"+name).CombinedOutput()
		if err != nil {
			tb.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return dir
}

// newRig makes the network and the keys.
func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{t: tb, span: testnet.New(tb, testnet.Config{}), dir: tb.TempDir()}
	r.sensing, r.collecting = r.span.C, r.span.C
	tb.Cleanup(func() {
		r.sensor.Kill()
		r.collector.Kill()
		if tb.Failed() {
			r.dump()
		}
	})
	return r
}

func (r *rig) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	r.t.Cleanup(cancel)
	return ctx
}

// start writes the configurations and starts both programs. sensor and collector are TOML behind the common part.
func (r *rig) start(sensor, collector string) {
	r.t.Helper()
	r.configure(sensor, collector)
	ctx, stop := context.WithCancel(context.Background())
	r.t.Cleanup(stop)
	r.collector = r.launch(ctx, programs(r.t), "collector", collectorPage)
	r.sensor = r.launch(ctx, programs(r.t), "sensor", sensorPage)
}

// configure makes the key and writes the configurations.
func (r *rig) configure(sensor, collector string) {
	r.t.Helper()
	key := filepath.Join(r.dir, "key")
	out, err := exec.Command(filepath.Join(programs(r.t), "flow-sensor"), "keygen").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("key", string(out), 0o600)
	r.write("collector.toml", fmt.Sprintf("state_dir = %q\n[[sensor]]\nid = \"edge-1\"\nkey_files = [%q]\n[ingest]\nlisten = [\"0.0.0.0:9999\"]\n%s",
		r.dir, key, collector), 0o644)
	r.write("sensor.toml", fmt.Sprintf("id = \"edge-1\"\nstate_dir = %q\n[[interface]]\nname = %q\n%s",
		r.dir, r.sensing.Interface, strings.ReplaceAll(sensor, "KEY", fmt.Sprintf("%q", key))), 0o644)
}

func (r *rig) launch(ctx context.Context, bin, name, page string) *testnet.Program {
	r.t.Helper()
	args := []string{filepath.Join(bin, "flow-"+name), "run", "--config", filepath.Join(r.dir, name+".toml")}
	if name == "sensor" {
		args = append(slices.Clone(r.environment), args...)
	}
	p, err := r.host(page).Start(ctx, filepath.Join(r.dir, name+".log"), "env", args...)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := p.Await(r.context(), page+"/healthz"); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// host is where the program with that page runs.
func (r *rig) host(page string) *testnet.Host {
	if page == sensorPage {
		return r.sensing
	}
	return r.collecting
}

func (r *rig) write(name, text string, mode os.FileMode) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
}

// stop ends the sensor, then the collector.
func (r *rig) stop() {
	r.t.Helper()
	if err := r.sensor.Stop(r.context()); err != nil {
		r.t.Fatal(err)
	}
	if err := r.collector.Stop(r.context()); err != nil {
		r.t.Fatal(err)
	}
}

// metrics reads a program's page into a map from the sample's name, labels included, to its value's text.
func (r *rig) metrics(page string) map[string]string {
	r.t.Helper()
	response, err := r.host(page).Client().Get(page + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		r.t.Fatalf("metrics: %s, %v\n%s", response.Status, err, text)
	}
	_ = response.Body.Close()
	all := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			all[name] = value
		}
	}
	return all
}

// log gives what a program has logged so far.
func (r *rig) log(name string) string {
	text, err := os.ReadFile(filepath.Join(r.dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// dump shows what all programs have logged.
func (r *rig) dump() {
	logs, _ := filepath.Glob(filepath.Join(r.dir, "*.log"))
	for _, path := range logs {
		r.t.Logf("%s:\n%s", filepath.Base(path), r.log(strings.TrimSuffix(filepath.Base(path), ".log")))
	}
}

// influx starts a real InfluxDB in the mirror's namespace.
func (r *rig) influx() *influxtest.Server {
	r.t.Helper()
	server := influxtest.ForTest(r.t, influxtest.Debian, influxtest.Config{Command: r.span.C.Command, Dial: r.span.C.Dial})
	if err := server.CreateDatabase(r.context(), "flows"); err != nil {
		r.t.Fatal(err)
	}
	return server
}
