package ingest_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/wire"
)

// Both families share a port, and what arrives is what was sent.
func TestDelivers(t *testing.T) {
	needIPv6(t)
	probe := listen(t, ingest.Config{})
	port := probe.Addrs()[0].Port()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{Processors: 2, Listen: []netip.AddrPort{
		netip.AddrPortFrom(netip.IPv4Unspecified(), port), netip.AddrPortFrom(netip.IPv6Unspecified(), port),
	}}, edge.sensor("127.0.0.1/32", "::1/128"))

	before := time.Now()
	sent4, sent6 := records(3), records(5)[3:]
	send(t, dial(t, netip.AddrPortFrom(loopback4, port)), edge.flows(sent4...))
	send(t, dial(t, netip.AddrPortFrom(loopback6, port)), edge.flows(sent6...))
	st := c.settle(2)

	want := func(seq uint64, records []flow.Record) flow.Batch {
		return flow.Batch{
			Sensor: "edge-1", Boot: edge.boot, Seq: seq, Floor: 1, Base: 1_700_000_000_000_000_000 + int64(seq)*1000,
			Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}, Records: records,
		}
	}
	got := c.batches()
	if len(got) == 2 && got[0].Seq > got[1].Seq { // two sockets, two goroutines
		got[0], got[1] = got[1], got[0]
	}
	for i := range got {
		var again flow.Batch // the body goes along, and is what the records were parsed from
		if err := wire.ParseFlows(got[i].Body, &again); err != nil || !cmp.Equal(again.Records, got[i].Records) {
			t.Errorf("the body that batch %d came with is another: %v", got[i].Seq, err)
		}
		if at := time.Unix(0, got[i].Received); at.Before(before.Add(-time.Second)) || at.After(time.Now()) {
			t.Errorf("batch %d was received at %v", got[i].Seq, at)
		}
		got[i].Body, got[i].Received = nil, 0
	}
	if diff := cmp.Diff([]flow.Batch{want(1, sent4), want(2, sent6)}, got); diff != "" {
		t.Errorf("batches differ (-sent +got):\n%s", diff)
	}

	volume := flow.Volume{Batches: 2, Records: 5, Packets: 15, Bytes: 15 * 1500}
	if st.Outcomes[ingest.ReasonAccepted] != 2 || st.Accepted != volume || st.QueueFull != (flow.Volume{}) {
		t.Errorf("counted %+v", st)
	}
	s := c.sensor("edge-1")
	if s.Datagrams != 2 || s.Outcomes[ingest.ReasonAccepted] != 2 || s.Accepted != volume || s.Missing != 0 ||
		s.Boot != edge.boot || s.Octets == 0 {
		t.Errorf("sensor counted %+v", s)
	}
	if s.LastSeen.Before(before) || s.LastSeen.After(time.Now()) || s.Offset.Abs() > 2*time.Second {
		t.Errorf("last seen %v with offset %v", s.LastSeen, s.Offset)
	}
	for _, sock := range st.Sockets {
		if sock.Unstamped != 0 {
			t.Errorf("%v got datagrams without the kernel's time", sock.Local)
		}
	}
}

// A report is a batch like any other: handed over once, acknowledged, refused when it cannot be parsed.
func TestReports(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	e := wire.NewReportEncoder(1000)
	e.Add(flow.Reading{Name: "received", Value: 12})
	e.Add(flow.Reading{Subject: "eth0", Name: "dropped", Value: 3})
	body := e.AppendBody(nil, wire.Numbers{Boot: edge.boot, Seq: 7, Floor: 7, Base: 1_700_000_000_000_000_000})
	for range 2 {
		send(t, conn, edge.seal(edge.header(wire.Report), body))
	}
	send(t, conn, edge.seal(edge.header(wire.Report), []byte("ledger")))
	st := c.settle(3)
	if st.Outcomes[ingest.ReasonAccepted] != 1 || st.Outcomes[ingest.ReasonDuplicate] != 1 || st.Outcomes[ingest.ReasonParse] != 1 {
		t.Errorf("reports counted as %s", named(st.Outcomes))
	}
	batches := c.batches()
	if len(batches) != 1 || batches[0].Content != flow.SensorReadings || batches[0].Sensor != "edge-1" || batches[0].Seq != 7 ||
		len(batches[0].Readings) != 2 || batches[0].Readings[1] != (flow.Reading{Subject: "eth0", Name: "dropped", Value: 3}) {
		t.Errorf("handed over: %+v", batches)
	}
}

// dnsBody is a batch of one failed answer.
func dnsBody(boot uint64, question string) []byte {
	e := wire.NewDNSEncoder(1000)
	e.Add(&flow.DNSAnswer{Client: flow.Addr{Lo: 1}, Server: flow.Addr{Lo: 2}, Version: 4, Time: 1_700_000_000_000_000_000, Question: question, QType: 1, RCode: 3})
	return e.AppendBody(nil, wire.Numbers{Boot: boot, Seq: 7, Floor: 7, Base: 1_700_000_000_000_000_000})
}

// Answers are handed over like records, and acknowledged like them.
func TestDNSAnswers(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	for range 2 {
		send(t, conn, edge.seal(edge.header(wire.DNS), dnsBody(edge.boot, "www.example.org")))
	}
	st := c.settle(2)
	if st.Outcomes[ingest.ReasonAccepted] != 1 || st.Outcomes[ingest.ReasonDuplicate] != 1 {
		t.Errorf("counted as %s", named(st.Outcomes))
	}
	batches := c.batches()
	if len(batches) != 1 || batches[0].Content != flow.DNSAnswers || batches[0].Seq != 7 || len(batches[0].Answers) != 1 ||
		batches[0].Answers[0].Question != "www.example.org" || batches[0].Answers[0].RCode != 3 {
		t.Errorf("handed over: %+v", batches)
	}
}
