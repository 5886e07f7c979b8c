package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"flowsensor/internal/store/influxtest"
)

// reports are the points of a ledger: the newest of each subject, by boot.
type reports map[string]influxtest.Row

// newest reads a ledger from the database. tag names the subject.
func (r *rig) newest(server *influxtest.Server, measurement, tag string) map[int64]reports {
	r.t.Helper()
	rows, err := server.Points(r.context(), "flows", measurement)
	if err != nil {
		r.t.Fatal(err)
	}
	all := make(map[int64]reports)
	for _, row := range rows { // in the order of time
		boot := number(r.t, row, "boot")
		if all[boot] == nil {
			all[boot] = make(reports)
		}
		subject, _ := row[tag].(string)
		all[boot][subject] = row
	}
	return all
}

// From the database alone: what was received is in flows or lost at a named place, over two lives of the sensor, of which
// the first one is killed.
func TestLedgerInInfluxDB(t *testing.T) {
	r := newRig(t)
	server := r.influx()
	r.start(quickFlows+"report_interval = \"200ms\"\n",
		fmt.Sprintf("[store]\nkind = \"influxdb\"\nage = \"100ms\"\n[store.influxdb]\nurl = %q\n", server.URL()))
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	first, _, _, _ := total(known(t, r.span))
	r.eventually("the rows of the first life", func() bool { return r.count(server) == int64(len(first)) })
	iface := r.span.C.Interface
	killed := r.settledLife(server, int64(len(first)))
	r.sensor.Kill()
	r.sensor = r.launch(ctx, programs(t), "sensor", sensorPage)
	source := newScript(t, r.span.A, r.span.B)
	for port := range int64(9) {
		source.udp(want{src: "10.9.0.1", dst: "10.9.0.2", srcPort: 5000 + port, dstPort: 7}, nil, 3, 100)
	}
	source.noise("arp", 0x0806, 2)
	r.stop() // the flows leave with the end

	sums := make(map[string]int64)
	lives := r.newest(server, "flow_sensor", "iface")
	if len(lives) != 2 {
		t.Fatalf("reports of %d lives, want 2", len(lives))
	}
	for boot, life := range lives {
		port, whole := life[iface], life[""]
		if port == nil || whole == nil {
			t.Fatalf("the life %d has no report of %s or of the whole: %v", boot, iface, life)
		}
		balanced(t, port)
		endings(t, whole, boot, killed)
		sums["packets"] += number(t, port, "exported")
		sums["bytes"] += number(t, port, "exported_bytes")
	}
	for field, want := range sums {
		got, err := server.Sum(r.context(), "flows", "flow", field)
		if err != nil || got != want {
			t.Errorf("%d %s in the rows of flow, %d in the reports: %v", got, field, want, err)
		}
	}
	collectors := r.newest(server, "flow_collector", "sensor")
	if len(collectors) != 1 {
		t.Errorf("reports of %d lives of the collector, want 1", len(collectors))
	}
	for _, collector := range collectors {
		mine, edge := collector[""], collector["edge-1"]
		if mine == nil || edge == nil || number(t, edge, "durable_packets") != sums["packets"] || number(t, mine, "durable_packets") != sums["packets"] ||
			number(t, mine, "lost_records") != 0 {
			t.Errorf("the collector's ledger: %v, of the sensor: %v; want %v", mine, edge, sums)
		}
	}
}

// settledLife waits for reports of the only life so far which say that all records are settled, and gives its boot.
func (r *rig) settledLife(server *influxtest.Server, records int64) (boot int64) {
	r.t.Helper()
	r.eventually("a report that says all", func() bool {
		for b, life := range r.newest(server, "flow_sensor", "iface") {
			port, whole := life[r.span.C.Interface], life[""]
			boot = b
			return port != nil && whole != nil && number(r.t, port, "flows") == 0 && number(r.t, port, "in_hand") == 0 &&
				number(r.t, whole, "pending_records") == 0 && number(r.t, whole, "settled_records") == records
		}
		return false
	})
	return boot
}

// endings holds the report of a life to what it says of its own end and of the killed one before it.
func endings(t *testing.T, whole influxtest.Row, boot, killed int64) {
	t.Helper()
	if boot == killed {
		if number(t, whole, "last") != 0 {
			t.Error("the killed life says that it ended in order")
		}
		return
	}
	if number(t, whole, "pending_records") != 0 || number(t, whole, "settled_records") != 9 {
		t.Errorf("the last report does not say that all was settled: %v", whole)
	}
	if number(t, whole, "last") != 1 || number(t, whole, "previous_boot") != killed || number(t, whole, "previous_unclean") != 1 {
		t.Errorf("the second life does not say that it ended and how the first one did: %v", whole)
	}
}

// balanced holds the report of an interface at rest to its sums.
func balanced(t *testing.T, port influxtest.Row) {
	t.Helper()
	value := func(name string) int64 { return number(t, port, name) }
	left := value("received") + value("gso_extra") - value("accounted") - value("refused") - value("ring_dropped") - value("ring_discarded")
	if left != 0 || value("in_hand") != 0 {
		t.Errorf("%d packets received are neither accounted nor lost at a named place: %v", left, port)
	}
	if value("accounted") != value("exported") || value("accounted_bytes") != value("exported_bytes") {
		t.Errorf("what is accounted is not exported: %v", port)
	}
	var named int64
	for name, v := range port {
		if v != nil && strings.HasPrefix(name, "refused_") && name != "refused_bytes" {
			named += value(name)
		}
	}
	if named != value("refused") {
		t.Errorf("%d refused by reason: %v", named, port)
	}
}
