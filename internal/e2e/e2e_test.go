package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"flowsensor/internal/store/influxtest"
	"flowsensor/internal/testnet"
)

const (
	fin = 0x01
	syn = 0x02
	rst = 0x04
	psh = 0x08
	ack = 0x10
)

// known sends traffic in which every packet is known, and gives the books.
func known(t *testing.T, span *testnet.Net) []*script {
	t.Helper()
	a, b := newScript(t, span.A, span.B), newScript(t, span.B, span.A)
	for port := range int64(40) { // IPv4 and IPv6, several ToS bytes
		a.udp(want{src: "10.9.0.1", dst: "10.9.0.2", srcPort: 2000 + port, dstPort: 53, tos: port % 4 * 4}, nil, int(1+port%5), int(port*17))
		b.udp(want{src: "fd09::2", dst: "fd09::1", srcPort: 53, dstPort: 3000 + port, tos: port % 3}, nil, int(1+port%7), int(port*23))
	}
	// The same five-tuple with two ToS bytes is two flows.
	a.udp(want{src: "10.9.0.1", dst: "10.9.0.2", srcPort: 9, dstPort: 9, tos: 0}, nil, 3, 100)
	a.udp(want{src: "10.9.0.1", dst: "10.9.0.2", srcPort: 9, dstPort: 9, tos: 184}, nil, 4, 100)
	for _, ends := range [][2]string{{"10.9.0.1", "10.9.0.2"}, {"fd09::1", "fd09::2"}} { // connections that end by FIN and by RST
		out := want{src: ends[0], dst: ends[1], srcPort: 40000, dstPort: 443, endReason: "fin"}
		back := want{src: ends[1], dst: ends[0], srcPort: 443, dstPort: 40000, endReason: "fin"}
		a.tcp(out, nil, syn, 0)
		b.tcp(back, nil, syn|ack, 0)
		a.tcp(out, nil, ack, 0)
		a.tcp(out, nil, psh|ack, 517)
		for range 20 {
			b.tcp(back, nil, ack, 1440)
		}
		b.tcp(back, nil, fin|ack, 0)
		a.tcp(out, nil, fin|ack, 0)
		b.tcp(back, nil, ack, 0) // a trailing ACK joins its flow
		reset := want{src: ends[0], dst: ends[1], srcPort: 40001, dstPort: 22, endReason: "rst"}
		a.tcp(reset, nil, syn, 0)
		a.tcp(reset, nil, rst, 0)
	}
	a.udp(want{src: "10.9.1.1", dst: "10.9.1.2", srcPort: 5, dstPort: 6}, []uint16{100 | 5<<13}, 6, 64)
	a.udp(want{src: "10.9.1.1", dst: "10.9.1.2", srcPort: 5, dstPort: 7}, []uint16{0}, 2, 64) // VLAN 0 is present
	b.udp(want{src: "fd09::9", dst: "fd09::8", srcPort: 5, dstPort: 6}, []uint16{200, 300}, 5, 64)
	b.tcp(want{src: "10.9.1.2", dst: "10.9.1.1", srcPort: 80, dstPort: 1, endReason: "idle"}, []uint16{4094, 7}, ack, 10)
	a.fragments4(want{src: "10.9.2.1", dst: "10.9.2.2", srcPort: 700, dstPort: 800}, 4711)
	b.fragments6(want{src: "fd09::5", dst: "fd09::6", srcPort: 701, dstPort: 801}, 4712)
	a.icmp(want{src: "10.9.0.1", dst: "10.9.0.2"}, 5)
	a.noise("arp", layers.EthernetTypeARP, 3)
	b.noise("lldp", layers.EthernetTypeLinkLayerDiscovery, 2)
	return []*script{a, b}
}

const quickFlows = `
[flows]
inactive_timeout = "1s"
linger = "200ms"
[export]
collector = ["127.0.0.1:9999"]
key_file = KEY
`

func TestEveryRowInInfluxDB(t *testing.T) {
	r := newRig(t)
	server := r.influx()
	r.start(quickFlows, fmt.Sprintf("[store]\nkind = \"influxdb\"\nage = \"100ms\"\n[store.influxdb]\nurl = %q\n", server.URL()))
	books := known(t, r.span)
	expected, packets, bytes, refused := total(books)

	// Flows end by themselves, on a link that is silent by now.
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) && r.count(server) < int64(len(expected)) {
		time.Sleep(50 * time.Millisecond)
	}
	live := r.metrics(sensorPage)
	r.stop()

	rows, err := server.Points(r.context(), "flows", "flow")
	if err != nil {
		t.Fatal(err)
	}
	records := int64(len(expected))
	compare(t, r, rows, expected)
	for name, number := range map[string]int64{
		`flow_sensor_received_packets_total{iface="` + r.span.C.Interface + `"}`:     packets + refused["arp"] + refused["lldp"],
		`flow_sensor_ring_dropped_packets_total{iface="` + r.span.C.Interface + `"}`: 0,
		"flow_sensor_accounted_packets_total":                                        packets,
		"flow_sensor_accounted_bytes_total":                                          bytes,
		`flow_sensor_refused_packets_total{reason="arp"}`:                            refused["arp"],
		`flow_sensor_refused_packets_total{reason="lldp"}`:                           refused["lldp"],
		"flow_sensor_sent_records_total":                                             records,
		"flow_sensor_sent_packets_total":                                             packets,
		"flow_sensor_sent_bytes_total":                                               bytes,
	} {
		if got, err := strconv.ParseFloat(live[name], 64); err != nil || int64(got) != number {
			t.Errorf("%s is %q, want %d", name, live[name], number)
		}
	}
	if log := r.log("sensor"); !strings.Contains(log, "balanced=true") {
		t.Error("the sensor's ledger does not balance")
	}
}

func (r *rig) count(server *influxtest.Server) int64 {
	n, err := server.Count(r.context(), "flows", "flow", "bytes")
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func total(books []*script) (rows map[string]*want, packets, bytes int64, refused map[string]int64) {
	rows, refused = make(map[string]*want), make(map[string]int64)
	for _, s := range books {
		maps.Copy(rows, s.rows)
		for reason, n := range s.refused {
			refused[reason] += n
		}
		packets += s.packets
		bytes += s.bytes
	}
	return rows, packets, bytes, refused
}

// compare wants exactly the rows expected, each equal in every field.
func compare(t *testing.T, r *rig, rows []influxtest.Row, expected map[string]*want) {
	t.Helper()
	if len(rows) != len(expected) {
		t.Errorf("%d rows, want %d", len(rows), len(expected))
	}
	times := make(map[string]bool)
	for _, row := range rows {
		got := wantOf(t, row)
		w := expected[got.key()]
		if w == nil {
			t.Errorf("a row that nobody sent: %v", row)
			continue
		}
		delete(expected, got.key())
		if got != *w {
			t.Errorf("%s:\ngot  %+v\nwant %+v", w.key(), got, *w)
		}
		if row["sensor"] != "edge-1" || row["iface"] != r.sensing.Interface {
			t.Errorf("%s: tags sensor=%v iface=%v", w.key(), row["sensor"], row["iface"])
		}
		if first, last := number(t, row, "first"), number(t, row, "last"); first > last || time.Since(time.UnixMicro(first)).Abs() > time.Minute {
			t.Errorf("%s: from %d to %d", w.key(), first, last)
		}
		if stamp := fmt.Sprint(row["time"]); times[stamp] {
			t.Errorf("two rows at %s", stamp)
		} else {
			times[stamp] = true
		}
	}
	for key := range expected {
		t.Errorf("no row for %s", key)
	}
}

func wantOf(t *testing.T, row influxtest.Row) want {
	t.Helper()
	w := want{vlan: -1, vlanInner: -1}
	w.src, _ = row["src"].(string)
	w.dst, _ = row["dst"].(string)
	w.proto, _ = row["proto"].(string)
	w.endReason, _ = row["end_reason"].(string)
	w.srcPort, w.dstPort, w.tos = number(t, row, "src_port"), number(t, row, "dst_port"), number(t, row, "tos")
	w.packets, w.bytes = number(t, row, "packets"), number(t, row, "bytes")
	w.flags, w.handshake = number(t, row, "tcp_flags"), number(t, row, "handshake")
	if row["vlan"] != nil {
		w.vlan = number(t, row, "vlan")
	}
	if row["vlan_inner"] != nil {
		w.vlanInner = number(t, row, "vlan_inner")
	}
	return w
}

func number(tb testing.TB, row influxtest.Row, field string) int64 {
	tb.Helper()
	n, ok := row[field].(json.Number)
	if !ok {
		tb.Fatalf("%s is %v in %v", field, row[field], row)
	}
	i, err := n.Int64()
	if err != nil {
		tb.Fatal(err)
	}
	return i
}
