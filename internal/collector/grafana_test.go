package collector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/rollup"
	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
)

// dashboard is what a test needs of Grafana's format.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		Type, Title, Interval string
		Targets               []struct{ Query, Alias, RefID string }
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	paths, err := filepath.Glob("../../etc/grafana/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	all := make(map[string]dashboard)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[filepath.Base(path)] = d
	}
	return all
}

// filled is a real database with an hour of records, rolled up and written by the real stages, and ledgers.
type filled struct {
	*influxtest.Server
	now  time.Time
	sent map[string]sums // by sensor; "" is all
}

const ledgerStep = 1000 // of every meter, from report to report

func fill(t *testing.T) *filled {
	t.Helper()
	f := &filled{Server: influxtest.WithDatabase(t, "flows"), now: time.Now(), sent: make(map[string]sums)}
	writer, err := influx.Open(influx.Config{URL: f.URL(), API: influx.V1, Database: "flows", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: filepath.Join(t.TempDir(), "dead"), MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := store.NewPool(store.DefaultConfig(), store.Deps{Writer: writer, DeadLetters: dead, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- pool.Run(t.Context()) }()
	f.roll(t, pool)
	f.ledgers(t, pool)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := pool.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if st := pool.Stats(); st.Written != st.Submitted {
		t.Fatalf("not everything was written: %+v", st)
	}
	_ = writer.Close()
	_ = dead.Close()
	return f
}

// roll writes a window each minute of half an hour.
func (f *filled) roll(t *testing.T, pool *store.Pool) {
	t.Helper()
	c := rollup.DefaultConfig()
	c.Conversation.Top = 50
	shard, err := rollup.NewShard(c)
	if err != nil {
		t.Fatal(err)
	}
	networks := flow.Networks{{Name: "unknown"}, {Name: "office", Ours: true}, {Name: "dmz", Ours: true}}
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 30 {
		at := f.now.Add(-time.Duration(31-i) * time.Minute).UnixNano()
		shard.Open(at/int64(c.Window), networks)
		for _, id := range []string{"edge-1", "edge-2"} {
			b := &flow.Batch{Sensor: id, Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}}
			sent := f.sent[id]
			for range 40 {
				rec := anyRecord(r, at)
				oldest := f.now.Add(-50 * time.Minute).UnixNano()
				rec.First, rec.Last = min(max(rec.First, oldest), at), min(max(rec.Last, oldest), at)
				rec.Proto = []uint8{flow.ProtoTCP, flow.ProtoUDP}[r.IntN(2)]
				b.Records = append(b.Records, rec)
				sent.bytes += int64(rec.Bytes)
				sent.packets += int64(rec.Packets)
				sent.flows++
			}
			f.sent[id] = sent
			shard.Add(b, attributed(b))
		}
		if err := pool.WriteRows(t.Context(), shard.Close(rollup.Full).Rows); err != nil {
			t.Fatal(err)
		}
	}
	one, other := f.sent["edge-1"], f.sent["edge-2"]
	f.sent[".*"] = sums{bytes: one.bytes + other.bytes, packets: one.packets + other.packets, flows: one.flows + other.flows}
}

// attributed takes the lower port for the server.
func attributed(b *flow.Batch) []flow.Attribution {
	all := make([]flow.Attribution, len(b.Records))
	for i := range b.Records {
		r, a := &b.Records[i], &all[i]
		*a = flow.Attribution{Client: r.Src, Server: r.Dst, ClientPort: r.SrcPort, ServicePort: r.DstPort, Evidence: flow.EvidenceLowerPort}
		if r.SrcPort < r.DstPort {
			*a = flow.Attribution{
				Client: r.Dst, Server: r.Src, ClientPort: r.DstPort, ServicePort: r.SrcPort, FromServer: true, Evidence: flow.EvidenceLowerPort,
			}
		}
		a.Class, a.ServerName = flow.ServiceClass(a.ServicePort), fmt.Sprintf("host-%d.example", a.Server.Lo%100)
		a.ClientNetwork, a.ServerNetwork = flow.NetworkID(a.Client.Lo%3), flow.NetworkID(a.Server.Lo%3)
		a.Direction = flow.Direction(r.Src.Lo % 5)
	}
	return all
}

var meter = regexp.MustCompile(`last\("(\w+)"\)`)

// meters gives what panels ask for of ledgers, by measurement.
func meters(t *testing.T) map[string][]string {
	t.Helper()
	asked := make(map[string][]string)
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				_, from, _ := strings.Cut(target.Query, ` FROM "`)
				measurement, _, _ := strings.Cut(from, `"`)
				for _, m := range meter.FindAllStringSubmatch(target.Query, -1) {
					asked[measurement] = append(asked[measurement], m[1])
				}
			}
		}
	}
	for measurement, names := range asked {
		slices.Sort(names)
		asked[measurement] = slices.Compact(names)
	}
	return asked
}

// ledgers writes a report of every meter that a panel asks for, every ten seconds for ten minutes.
func (f *filled) ledgers(t *testing.T, pool *store.Pool) {
	t.Helper()
	start := f.now.Add(-11 * time.Minute).Truncate(10 * time.Second)
	for measurement, names := range meters(t) {
		for i := range reports {
			b := report(measurement, names, int64(i*ledgerStep))
			b.Base = start.Add(time.Duration(i) * 10 * time.Second).UnixNano()
			if err := pool.Submit(b); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// report shows the value on every meter, of the whole and of one subject.
func report(measurement string, names []string, value int64) *flow.Batch {
	b := &flow.Batch{Content: flow.SensorReadings, Sensor: "edge-1", Boot: 1}
	subjects := []string{"", "eth0"}
	if measurement == "flow_collector" {
		b.Content, b.Sensor, subjects = flow.CollectorReadings, "@main", []string{"", "edge-1"}
	}
	for _, subject := range subjects {
		for _, name := range names {
			b.Readings = append(b.Readings, flow.Reading{Subject: subject, Name: name, Value: value})
		}
	}
	return b
}

const reports = 60

// run runs a query as Grafana sends it.
func (f *filled) run(t *testing.T, query, sensor, interval string) []influxtest.Row {
	t.Helper()
	length, err := time.ParseDuration(interval)
	if err != nil {
		t.Fatalf("interval %q: %v", interval, err)
	}
	text := strings.NewReplacer(
		"$timeFilter", fmt.Sprintf("time >= %dms AND time <= %dms", f.now.Add(-time.Hour).UnixMilli(), f.now.UnixMilli()),
		"$__interval_ms", strconv.FormatInt(length.Milliseconds(), 10), "$__interval", interval, "$sensor", sensor, "$iface", ".*",
	).Replace(query)
	if strings.Contains(text, "$") && regexp.MustCompile(`\$[a-z_]+`).MatchString(text) {
		t.Fatalf("a variable is not known: %s", text)
	}
	rows, err := f.Query(t.Context(), "flows", text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return rows
}

// value is the number of a row, where it has one.
func value(row influxtest.Row) (float64, bool) {
	for column, v := range row {
		if n, ok := v.(json.Number); ok && column != "time" {
			f, err := n.Float64()
			return f, err == nil
		}
	}
	return 0, false
}

var (
	rate       = regexp.MustCompile(`^SELECT sum\("(\w+)"\)(?: \* (\d+) / \$__interval_ms)? FROM "(traffic|conversation)"`)
	difference = regexp.MustCompile(`^SELECT non_negative_difference\(last\("\w+"\)\) \* 1000 / \$__interval_ms `)
	level      = regexp.MustCompile(`^SELECT last\("\w+"\)`)
	top        = regexp.MustCompile(`^SELECT top\("(\w+)", \d+\)`)
)

// Every query of every panel runs against a real database that the real stages filled, and gives what was put in.
func TestDashboards(t *testing.T) {
	f := fill(t)
	uids := make(map[string]string)
	for name, d := range dashboards(t) {
		if old := uids[d.UID]; d.UID == "" || old != "" {
			t.Errorf("%s: the uid %q is that of %q", name, d.UID, old)
		}
		uids[d.UID] = name
		for _, v := range d.Templating.List {
			if v.Type == "query" && len(f.run(t, v.Query, ".*", "10s")) == 0 {
				t.Errorf("%s: the variable %s has no values", name, v.Name)
			}
		}
		f.checkPanels(t, name, &d)
	}
}

func (f *filled) checkPanels(t *testing.T, name string, d *dashboard) {
	t.Helper()
	for _, p := range d.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s: %s has no query", name, p.Title)
		}
		for _, target := range p.Targets {
			t.Run(name+" "+p.Title+" "+target.RefID, func(t *testing.T) {
				f.check(t, target.Query, ".*", p.Interval)
				f.check(t, target.Query, "edge-1", p.Interval)
			})
		}
	}
}

// check runs a query and holds its answer to what was put in, by the form of the query.
func (f *filled) check(t *testing.T, query, sensor, interval string) {
	t.Helper()
	rows := f.run(t, query, sensor, interval)
	if len(rows) == 0 {
		t.Fatalf("no rows for %q", sensor)
	}
	total := 0.0
	for _, row := range rows {
		v, _ := value(row)
		total += v
	}
	length, _ := time.ParseDuration(interval)
	switch {
	case rate.MatchString(query):
		m := rate.FindStringSubmatch(query)
		if factor, err := strconv.ParseFloat(m[2], 64); err == nil {
			total *= float64(length.Milliseconds()) / factor
		}
		f.checkSum(t, query, m[1], total, f.sent[sensor])
	case difference.MatchString(query):
		total *= float64(length.Milliseconds()) / 1000
		if want := float64((reports - 1) * ledgerStep); math.Abs(total-want) > 1 {
			t.Errorf("differences add up to %f, want %f", total, want)
		}
	case level.MatchString(query):
		if v, ok := value(rows[len(rows)-1]); !ok || v != float64((reports-1)*ledgerStep) {
			t.Errorf("the last is %f, want %d", v, (reports-1)*ledgerStep)
		}
	case top.MatchString(query):
		for _, row := range rows {
			if row["client"] == nil || row["client"] == "other" || row["server"] == nil || row["service_port"] == nil || row["server_name"] == nil {
				t.Fatalf("a conversation without its ends: %v", row)
			}
		}
	default:
		t.Errorf("a query of no known form: %s", query)
	}
}

// checkSum compares with what was sent. What is a part of it is smaller.
func (f *filled) checkSum(t *testing.T, query, field string, got float64, sent sums) {
	t.Helper()
	want := map[string]int64{"bytes": sent.bytes, "packets": sent.packets, "flows": sent.flows}[field]
	part := strings.HasPrefix(field, "bytes_to_") || strings.Contains(query, "'other'")
	switch {
	case part && (got <= 0 || got >= float64(sent.bytes)):
		t.Errorf("%s is %f, not a part of %d", field, got, sent.bytes)
	case !part && math.Abs(got-float64(want)) > float64(want)*1e-9+0.5:
		t.Errorf("%s adds up to %f, want %d", field, got, want)
	}
}
