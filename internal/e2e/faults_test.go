package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/store/influxtest"
	"flowsensor/internal/testnet"
)

const (
	// volley is how many flows are sent at once.
	volley = 25
	// pause is the time between two volleys.
	pause = 40 * time.Millisecond
)

// drizzle sends volleys of short flows, none of which comes twice.
type drizzle struct {
	*script

	port int64
	when map[string]time.Time // a flow was sent, by its key
}

func newDrizzle(t *testing.T, span *testnet.Net) *drizzle {
	t.Helper()
	return &drizzle{script: newScript(t, span.A, span.B), when: make(map[string]time.Time)}
}

func (d *drizzle) fall(during time.Duration) {
	d.t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(pause) {
		for range volley {
			d.port++
			w := want{src: fmt.Sprintf("10.9.0.%d", 1+d.port>>14), dst: "10.9.0.99", srcPort: 1024 + d.port&0x3fff, dstPort: 7}
			d.udp(w, nil, 1+int(d.port%3), int(d.port%1200))
			w.proto = "17"
			d.when[w.key()] = time.Now()
		}
	}
}

// behindProxy is a sensor's configuration with a proxy before the collector.
func (r *rig) behindProxy(faults testnet.Faults) (*testnet.Proxy, string) {
	r.t.Helper()
	proxy, err := testnet.NewProxy(testnet.ProxyConfig{
		Host: r.span.C, Listen: "127.0.0.1:9990", Target: "127.0.0.1:9999", Seed: 11, Forward: faults, Back: faults,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = proxy.Close() })
	return proxy, strings.Replace(quickFlows, "127.0.0.1:9999", "127.0.0.1:9990", 1)
}

// A network that loses, doubles and shuffles datagrams and answers, a collector that is killed again and again, and a
// database that is killed and away for a while: every flow that was sent is one row, with all its packets and bytes.
func TestNothingIsLostUnderFire(t *testing.T) {
	r := newRig(t)
	server := r.influx()
	proxy, sensor := r.behindProxy(testnet.Faults{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Jitter: 5 * time.Millisecond})
	r.start(sensor, fmt.Sprintf("[store]\nkind = \"influxdb\"\nage = \"100ms\"\nretry_longest = \"1s\"\n[store.influxdb]\nurl = %q\n", server.URL()))
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	bin := programs(t)
	source := newDrizzle(t, r.span)
	for round := range 5 {
		source.fall(1500 * time.Millisecond)
		r.collector.Kill()
		switch round {
		case 1:
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
		case 3:
			if err := server.Start(r.context()); err != nil {
				t.Fatal(err)
			}
		}
		source.fall(700 * time.Millisecond)
		r.collector = r.launch(ctx, bin, "collector", collectorPage)
	}
	r.eventually("all flows are rows", func() bool { return r.count(server) >= int64(len(source.rows)) })
	r.eventually("the sensor keeps nothing", func() bool { return r.metric(sensorPage, "flow_sensor_pending_records") == 0 })
	again := r.metric(sensorPage, "flow_sensor_resent_batches_total")
	received := r.metrics(sensorPage)[`flow_sensor_ring_dropped_packets_total{iface="`+r.span.C.Interface+`"}`]
	r.stop()
	if forward := proxy.Forward(); forward.Lost == 0 || forward.Duplicated == 0 || forward.Reordered == 0 || proxy.Back().Lost == 0 || again == 0 {
		t.Errorf("the network was too kind: %+v there, %+v back, %v batches sent again", forward, proxy.Back(), again)
	}
	t.Logf("%d flows, %d packets; %+v there, %+v back; %v batches sent again; ring dropped %s", len(source.rows), source.packets,
		proxy.Forward(), proxy.Back(), again, received)
	r.sums(server, source.packets, source.bytes)
	rows, err := server.Points(r.context(), "flows", "flow")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, r, rows, source.rows)
}

// sums holds the database to what was sent.
func (r *rig) sums(server *influxtest.Server, packets, bytes int64) {
	r.t.Helper()
	for field, want := range map[string]int64{"packets": packets, "bytes": bytes} {
		got, err := server.Sum(r.context(), "flows", "flow", field)
		if err != nil || got != want {
			r.t.Errorf("%d %s in the database, %d were sent: %v", got, field, want, err)
		}
	}
}

// atRisk is how old a flow can be that a kill of the sensor takes with it: inactive timeout, a sweep, the flush interval,
// and the time until a batch is acknowledged or spooled, with room for a slow machine.
const atRisk = 6 * time.Second

// gap is when a sensor was killed and when it captured again.
type gap struct{ killed, back time.Time }

// lost counts the flows that are no rows, and those of them that no gap explains.
func (d *drizzle) lost(seen map[string]bool, gaps []gap) (lost, unexplained int) {
	for key := range d.rows {
		if seen[key] {
			continue
		}
		lost++
		at := d.when[key]
		if !slices.ContainsFunc(gaps, func(g gap) bool { return at.After(g.killed.Add(-atRisk)) && at.Before(g.back.Add(time.Second)) }) {
			unexplained++
		}
	}
	return lost, unexplained
}

// A sensor that is killed again and again: what it had acknowledged or spooled is there, each flow once; what was lost
// was young enough to be in its tables, or passed while it was away; and each life says that the one before ended unclean.
func TestKilledSensorLosesOnlyItsTables(t *testing.T) {
	r := newRig(t)
	server := r.influx()
	r.start(quickFlows+"report_interval = \"200ms\"\n",
		fmt.Sprintf("[store]\nkind = \"influxdb\"\nage = \"100ms\"\n[store.influxdb]\nurl = %q\n", server.URL()))
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	bin := programs(t)
	source := newDrizzle(t, r.span)
	var gaps []gap
	for range 2 {
		source.fall(atRisk + 2*time.Second)
		r.sensor.Kill()
		g := gap{killed: time.Now()}
		source.fall(300 * time.Millisecond)
		r.sensor = r.launch(ctx, bin, "sensor", sensorPage)
		g.back = time.Now()
		gaps = append(gaps, g)
	}
	source.fall(time.Second)
	r.stop()
	rows, err := server.Points(r.context(), "flows", "flow")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, row := range rows {
		got := wantOf(t, row)
		sent := source.rows[got.key()]
		if sent == nil || seen[got.key()] || got.packets > sent.packets || got.bytes > sent.bytes {
			t.Errorf("a row that is more than what was sent: %v", row)
		}
		seen[got.key()] = true
	}
	lost, unexplained := source.lost(seen, gaps)
	t.Logf("%d flows sent, %d lost in two kills", len(source.rows), lost)
	if lost == 0 || unexplained != 0 {
		t.Errorf("%d flows were lost, %d of them were not in the tables of a killed sensor", lost, unexplained)
	}
	unclean := 0
	for _, life := range r.newest(server, "flow_sensor", "iface") {
		if life[""] != nil && life[""]["previous_unclean"] != nil && number(t, life[""], "previous_unclean") == 1 {
			unclean++
		}
	}
	if unclean != 2 {
		t.Errorf("%d lives say that the one before was killed, want 2", unclean)
	}
}
