package influx_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
)

// apis are the real servers' write APIs; what a 3.x server answers stands in TestAnswers.
var apis = map[string]struct {
	release influxtest.Release
	api     influx.API
}{
	"v1 of 1.6": {influxtest.Debian, influx.V1},
	"v1 of 1.8": {influxtest.V18, influx.V1},
	"v2 of 1.8": {influxtest.V18, influx.V2},
}

func target(server *influxtest.Server, api influx.API) influx.Config {
	cfg := influx.Config{URL: server.URL(), API: api, Database: "flows"}
	if api == influx.V2 {
		cfg.Database, cfg.Bucket, cfg.Org = "", "flows", "any"
	}
	return cfg
}

// TestRecordsBecomeRows: N records are N rows with the records' values, and stay N when all of it is sent again.
func TestRecordsBecomeRows(t *testing.T) {
	for name, c := range apis {
		t.Run(name, func(t *testing.T) {
			server := influxtest.ForTest(t, c.release, influxtest.Config{})
			createDatabase(t, server)
			batches := newSource("edge-1").batches(300, 40)
			other := newSource("edge-2")
			other.base = batches[0].Base // another sensor's records may have the same times
			batches = append(batches, other.batches(20, 40)...)
			for range 2 {
				r := newRun(t, poolConfig(), target(server, c.api))
				r.submit(t, batches)
				if s := r.finish(t, time.Minute); s.Written.Records != 12_800 || s.Lines != 12_800 {
					t.Errorf("%+v", s)
				}
				expect(t, server, batches)
			}
		})
	}
}

// TestHostileNames: whatever a name holds, its record is one row with that name, as far as line protocol can hold it.
func TestHostileNames(t *testing.T) {
	server := influxtest.ForTest(t, influxtest.Debian, influxtest.Config{})
	createDatabase(t, server)
	names := map[string]string{
		"a b,c=d": "a b,c=d", `\Device\NPF_{1}`: `\Device\NPF_{1}`, `x\`: "x_", "eth0\nflow,x=y v=1i 1": "eth0_flow,x=y v=1i 1", `"`: `"`,
		"": "7", "\xff": "\ufffd", "☃": "☃", "#": "#", `a\,b`: `a\,b`, `a\ b`: `a\ b`, " ": " ", strings.Repeat("n", 300): strings.Repeat("n", 255),
	}
	from := newSource("edge-1")
	r := newRun(t, poolConfig(), target(server, influx.V1))
	want := make(map[string]int)
	for name, tag := range names {
		b := from.batch(1)
		b.Interfaces, b.Records[0].IfIndex = []flow.Interface{{Index: 7, Name: name}}, 7
		want[tag]++
		r.submit(t, []*flow.Batch{b})
	}
	if s := r.finish(t, time.Minute); s.Written.Records != uint64(len(names)) {
		t.Errorf("%+v\n%s", s, r.log)
	}
	rows, err := server.Points(t.Context(), "flows", "flow")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(names) {
		t.Errorf("%d rows for %d names", len(rows), len(names))
	}
	for _, row := range rows {
		tag, _ := row["iface"].(string)
		if want[tag]--; want[tag] != 0 {
			t.Errorf("unexpected interface %q", tag)
		}
	}
}

// TestTypeConflict: a field that the database holds with another type costs the lines that have it, and no other.
func TestTypeConflict(t *testing.T) {
	for name, c := range apis {
		t.Run(name, func(t *testing.T) {
			server := influxtest.ForTest(t, c.release, influxtest.Config{})
			createDatabase(t, server)
			from := newSource("edge-1")
			first := open(t, target(server, c.api))
			seed := from.batch(1)
			if err := first.Write(t.Context(), lines(`flow,iface=a,proto=6,sensor=s vlan="text" `+itoa(seed.Base)+"\n")); err != nil {
				t.Fatal(err)
			}
			r := newRun(t, poolConfig(), target(server, c.api))
			batches := from.batches(100, 30)
			for _, i := range []int{0, 17, 99} {
				batches[i].Records[i%30].VLAN = flow.VLANFromTCI(5)
			}
			r.submit(t, batches)
			s := r.finish(t, time.Minute)
			if s.DeadLettered[store.DeadTypeConflict].Records != 3 || s.Written.Records != 2997 || s.Retries != 0 {
				t.Errorf("%+v\n%s", s, r.log)
			}
			if n, err := server.Count(t.Context(), "flows", "flow", "bytes"); err != nil || n != 2997 {
				t.Errorf("%d rows, %v", n, err)
			}
			text, err := os.ReadFile(r.dead)
			if err != nil || strings.Count(string(text), ",vlan=5i") != 3 || !strings.Contains(string(text), "reason=type_conflict") {
				t.Errorf("%s, %v", text, err)
			}
		})
	}
}

// TestBeyondRetention: lines that are too old for the database are dead letters, a whole chunk of them in one request.
func TestBeyondRetention(t *testing.T) {
	server := influxtest.ForTest(t, influxtest.Debian, influxtest.Config{})
	if _, err := server.Query(t.Context(), "", `CREATE DATABASE "flows" WITH DURATION 1d`); err != nil {
		t.Fatal(err)
	}
	from := newSource("edge-1")
	now := from.base
	from.base -= int64(30 * 24 * time.Hour)
	old := from.batches(10, 50)
	from.base = now
	recent := from.batches(10, 50)
	r := newRun(t, poolConfig(), target(server, influx.V1))
	r.submit(t, old)
	r.wait(t, "reason=beyond_retention")
	if n := r.Stats().Requests; n != 1 {
		t.Errorf("%d requests for a chunk that is refused whole", n)
	}
	r.submit(t, old[:3])
	r.submit(t, recent)
	if s := r.finish(t, time.Minute); s.DeadLettered[store.DeadBeyondRetention].Records != 650 || s.Written.Records != 500 {
		t.Errorf("%+v\n%s", s, r.log)
	}
	expect(t, server, recent)
}

// TestTooLargeForServer: a real server's limit on bodies is met by splitting.
func TestTooLargeForServer(t *testing.T) {
	server := influxtest.ForTest(t, influxtest.V18, influxtest.Config{MaxBodySize: 20_000})
	createDatabase(t, server)
	batches := newSource("edge-1").batches(20, 100)
	cfg := target(server, influx.V2)
	cfg.Encoding = influx.Identity
	r := newRun(t, poolConfig(), cfg)
	r.submit(t, batches)
	if s := r.finish(t, time.Minute); s.Written.Records != 2000 || s.Splits == 0 || s.Retries != 0 {
		t.Errorf("%+v\n%s", s, r.log)
	}
	expect(t, server, batches)
}

// TestMissingDatabase: nothing is lost before somebody creates it, the log says how, once.
func TestMissingDatabase(t *testing.T) {
	for name, c := range apis {
		t.Run(name, func(t *testing.T) {
			server := influxtest.ForTest(t, c.release, influxtest.Config{})
			cfg := target(server, c.api)
			if err := open(t, cfg).Check(t.Context()); asError(t, err).Class != store.Configuration {
				t.Error("the check found nothing:", err)
			}
			r := newRun(t, poolConfig(), cfg)
			batches := newSource("edge-1").batches(10, 10)
			r.submit(t, batches)
			r.wait(t, "flows are not stored before this is mended")
			time.Sleep(500 * time.Millisecond)
			createDatabase(t, server)
			if s := r.finish(t, time.Minute); s.Written.Records != 100 || s.Retries == 0 {
				t.Errorf("%+v", s)
			}
			expect(t, server, batches)
			if text := r.log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "create it: influx") {
				t.Error(text)
			}
		})
	}
}

func TestCreateDatabase(t *testing.T) {
	server := influxtest.ForTest(t, influxtest.Debian, influxtest.Config{User: "root", Password: "it's \\ s3cret"})
	cfg := target(server, influx.V1)
	cfg.CreateDatabase, cfg.Username, cfg.PasswordFile = true, "root", secret(t, "it's \\ s3cret\n")
	w := open(t, cfg)
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.Check(t.Context()); err != nil {
		t.Error("a second time:", err)
	}
	r := newRun(t, poolConfig(), cfg)
	batches := newSource("edge-1").batches(10, 10)
	r.submit(t, batches)
	r.finish(t, time.Minute)
	expect(t, server, batches)

	if _, err := server.Query(t.Context(), "", `CREATE USER weak WITH PASSWORD 'w'`); err != nil {
		t.Fatal(err)
	}
	cfg.Database, cfg.Username, cfg.PasswordFile = `odd "name"`, "weak", secret(t, "w")
	e := asError(t, open(t, cfg).Check(t.Context()))
	if e.Class != store.Configuration || !strings.Contains(e.Remedy, "CREATE DATABASE") {
		t.Errorf("%s: %v, %s", e.Class, e, e.Remedy)
	}
	cfg.Username, cfg.PasswordFile = "root", secret(t, "it's \\ s3cret")
	if err := open(t, cfg).Check(t.Context()); err != nil {
		t.Error(err)
	}
	rows, err := server.Query(t.Context(), "", "SHOW DATABASES")
	if err != nil || rows[len(rows)-1]["name"] != `odd "name"` {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestMissingRetentionPolicy(t *testing.T) {
	server := influxtest.ForTest(t, influxtest.Debian, influxtest.Config{})
	createDatabase(t, server)
	cfg := target(server, influx.V1)
	cfg.RetentionPolicy = "week"
	w := open(t, cfg)
	if e := asError(t, w.Check(t.Context())); e.Class != store.Configuration || !strings.Contains(e.Remedy, `CREATE RETENTION POLICY "week" ON "flows"`) {
		t.Errorf("%s: %v, %s", e.Class, e, e.Remedy)
	}
	if _, err := server.Query(t.Context(), "", `CREATE RETENTION POLICY "week" ON "flows" DURATION 7d REPLICATION 1`); err != nil {
		t.Fatal(err)
	}
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCredentials: a wrong password or token is no reason to lose anything, and is told; a reload mends it.
func TestCredentials(t *testing.T) {
	for name, c := range apis {
		t.Run(name, func(t *testing.T) {
			server := influxtest.ForTest(t, c.release, influxtest.Config{User: "root", Password: "s3cret"})
			createDatabase(t, server)
			cfg := target(server, c.api)
			path := secret(t, "wr0ng")
			prefix := ""
			if c.api == influx.V2 {
				prefix, cfg.TokenFile = "root:", path
			} else {
				cfg.Username, cfg.PasswordFile = "root", path
			}
			w := open(t, cfg)
			e := asError(t, w.Write(t.Context(), lines("flow v=1i 1\n")))
			if e.Class != store.Configuration || e.Code != http.StatusUnauthorized || !strings.Contains(e.Remedy, "not accepted") {
				t.Errorf("%s %d: %v, %s", e.Class, e.Code, e, e.Remedy)
			}
			if err := os.WriteFile(path, []byte(prefix+"s3cret\n"), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := w.Reload(); err != nil {
				t.Fatal(err)
			}
			if err := w.Write(t.Context(), lines("flow v=1i 1\n")); err != nil {
				t.Error(err)
			}
		})
	}
}
