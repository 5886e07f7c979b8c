package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/store/influxtest"
)

// answer sends a DNS response to a question for an address; without addresses there is no such name.
func (s *script) answer(w want, question string, aliases []string, addresses ...[4]byte) {
	s.t.Helper()
	name := dnsmessage.MustNewName(question)
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{Response: true, RCode: dnsmessage.RCodeNameError},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	add := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 60}, Body: body})
	}
	for _, alias := range aliases {
		target := dnsmessage.MustNewName(alias)
		add(&dnsmessage.CNAMEResource{CNAME: target})
		name = target
	}
	for _, at := range addresses {
		m.RCode = dnsmessage.RCodeSuccess
		add(&dnsmessage.AResource{A: at})
	}
	message, err := m.Pack()
	if err != nil {
		s.t.Fatal(err)
	}
	network := w.network(layers.IPProtocolUDP)
	udp := &layers.UDP{SrcPort: 53, DstPort: layers.UDPPort(w.dstPort)}
	if err := udp.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer)); err != nil {
		s.t.Fatal(err)
	}
	s.send(w, nil, serialize(s.t, network, udp, gopacket.Payload(message)))
}

// named wants the points that matter to have the names of their clients, and says how many there are.
func (r *rig) named(server *influxtest.Server, measurement string, clients map[string]string, of func(influxtest.Row) (string, bool)) (points int) {
	r.t.Helper()
	rows, err := server.Points(r.context(), "flows", measurement)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, row := range rows {
		client, matters := of(row)
		if !matters {
			continue
		}
		points++
		if name, _ := row["server_name"].(string); name != clients[client] {
			r.t.Errorf("a %s of %s is named %q, want %q", measurement, client, name, clients[client])
		}
	}
	return points
}

// TestNamesInInfluxDB answers two clients under different names for one address, in frames that are longer than the snap
// length: each client's flow has the name that this client asked for.
func TestNamesInInfluxDB(t *testing.T) {
	r := newRig(t)
	server := r.influx()
	r.start("[dns]\nenabled = true\n"+quickFlows, fmt.Sprintf("[store]\nkind = \"influxdb\"\nage = \"100ms\"\n[store.influxdb]\nurl = %q\n", server.URL()))
	a, b := newScript(t, r.span.A, r.span.B), newScript(t, r.span.B, r.span.A)
	long := strings.Repeat("a-label-of-some-length.", 8) + "cdn.example."
	clients := map[string]string{"10.9.0.1": "www.example.org", "10.9.0.3": "api.example.net", "10.9.0.4": ""}
	for client, name := range clients {
		if name != "" {
			b.answer(want{src: "10.9.0.53", dst: client, srcPort: 53, dstPort: 3000}, name+".", []string{long, "x." + long}, [4]byte{10, 9, 0, 2}, [4]byte{10, 9, 0, 9})
		}
		b.answer(want{src: "10.9.0.53", dst: client, srcPort: 53, dstPort: 3001}, "gone."+client+".example.", nil)
		flow := want{src: client, dst: "10.9.0.2", srcPort: 40000, dstPort: 443}
		back := want{src: "10.9.0.2", dst: client, srcPort: 443, dstPort: 40000}
		a.tcp(flow, nil, syn, 0)
		b.tcp(back, nil, syn|ack, 0)
		a.tcp(flow, nil, ack, 0)
	}
	rows, _, _, _ := total([]*script{a, b})
	r.eventually("the rows", func() bool { return r.count(server) == int64(len(rows)) })
	live := r.metrics(sensorPage)
	r.stop()

	flows := r.named(server, "flow", clients, func(row influxtest.Row) (client string, matters bool) {
		client, _ = row["src"].(string)
		if client == "10.9.0.2" {
			client, _ = row["dst"].(string)
		}
		return client, row["proto"] == "6"
	})
	conversations := r.named(server, "conversation", clients, func(row influxtest.Row) (client string, matters bool) {
		client, _ = row["client"].(string)
		return client, row["server"] == "10.9.0.2"
	})
	if flows != 6 || conversations < len(clients) {
		t.Errorf("%d flows, want 6; %d conversations, want at least %d", flows, conversations, len(clients))
	}
	failures, err := server.Points(r.context(), "flows", "dns")
	if err != nil || len(failures) != len(clients) {
		t.Errorf("%d failures, want %d: %v", len(failures), len(clients), err)
	}
	for _, row := range failures {
		if client, _ := row["client"].(string); row["rcode"] != "nxdomain" || row["sensor"] != "edge-1" || row["question"] != "gone."+client+".example" {
			t.Errorf("failure %v", row)
		}
	}
	if n := live[`flow_sensor_dns_messages_total{result="ok"}`]; n != "5" {
		t.Errorf("%s messages gave an answer, want 5", n)
	}
}
