package collector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/collector"
	"flowsensor/internal/daemon"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/status"
	"flowsensor/internal/wire"
)

// alive runs a collector until the test ends.
func alive(t *testing.T) collector.StatusOptions {
	t.Helper()
	path, c := configured(t, "")
	c.Status.Socket = filepath.Join(filepath.Dir(path), "s")
	s := collector.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return collector.StatusOptions{Socket: c.Status.Socket, Config: path}
}

func TestStatusOfARunningCollector(t *testing.T) {
	o := alive(t)
	client := status.NewClient(o.Socket)
	defer client.Close()
	var s collector.Snapshot
	if err := client.Get(t.Context(), "/status", &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Sensors) != 1 || s.Sensors[0].ID != "edge-1" || s.Sensors[0].LastSeen != nil || s.Sensors[0].Key != 0 || s.Write == nil ||
		s.Write.Kind != "files" || s.Journal.MaxBytes == 0 {
		t.Errorf("before the first datagram: %+v", s)
	}
	conn, err := net.Dial("udp", s.Ingest.Sockets[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, datagram := range [][]byte{probe(t, filepath.Join(filepath.Dir(o.Config), "key")), []byte("junk that is none of ours")} {
		if _, err := conn.Write(datagram); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); s.Ingest.Datagrams["accepted"] == 0 || len(s.Ingest.Datagrams) < 2; {
		if err := client.Get(t.Context(), "/status", &s); err != nil || time.Now().After(deadline) {
			t.Fatal(err, s.Ingest)
		}
	}
	x := s.Sensors[0]
	if x.LastSeen == nil || time.Since(*x.LastSeen) > time.Minute || x.SilentFor > 60 || x.Key != 1 || x.Datagrams["accepted"] != 1 ||
		x.ClockOffset < -2 || x.ClockOffset > 2 {
		t.Errorf("got %+v", x)
	}
	var out bytes.Buffer
	o.Out = &out
	if err := collector.ShowStatus(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"flow-collector ", "SENSOR  LAST SEEN", "edge-1", " ago", "journal    ", "store      files: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := collector.ShowStatusJSON(t.Context(), o); err != nil || !json.Valid(out.Bytes()) {
		t.Errorf("%v: %s", err, out.String())
	}
}

// probe is a datagram of edge-1 that carries no flows.
func probe(t *testing.T, keyFile string) []byte {
	t.Helper()
	key, err := seal.LoadKeyFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.NewSealer("edge-1", key)
	if err != nil {
		t.Fatal(err)
	}
	plain := wire.AppendProbe(wire.AppendHeader(nil, wire.Header{Kind: wire.Probe, ID: "edge-1", Boot: 1, TX: 7}))
	datagram, err := sealer.Seal(nil, plain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return datagram
}

// The ledger shows the newest report of each sensor, and nothing of what is sent late.
func TestLedgerOfARunningCollector(t *testing.T) {
	o := alive(t)
	var out bytes.Buffer
	o.Out = &out
	if err := collector.ShowLedger(t.Context(), o); err != nil || !strings.Contains(out.String(), "no sensor has reported yet") {
		t.Fatalf("%v\n%s", err, out.String())
	}
	client := status.NewClient(o.Socket)
	defer client.Close()
	var s collector.Snapshot
	if err := client.Get(t.Context(), "/status", &s); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", s.Ingest.Sockets[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	key := filepath.Join(filepath.Dir(o.Config), "key")
	newest := []flow.Reading{
		{Name: "added_packets", Value: 90},
		{Name: "dropped_packets", Value: 4},
		{Name: "last", Value: 1},
		{Name: "dropped_spool_full_packets", Value: 4},
		{Name: "pending_packets", Value: 6},
		{Name: "previous_unclean", Value: 1},
		{Name: "settled_packets", Value: 80},
		{Subject: "eth0", Name: "accounted", Value: 100},
		{Subject: "eth0", Name: "exported", Value: 90},
		{Subject: "eth0", Name: "received", Value: 1107},
		{Subject: "eth0", Name: "refused", Value: 7},
		{Subject: "eth0", Name: "refused_arp", Value: 7},
		{Subject: "eth0", Name: "refused_bytes", Value: 420},
		{Subject: "eth0", Name: "ring_dropped", Value: 1000},
	}
	for seq, readings := range [][]flow.Reading{newest, {{Subject: "eth0", Name: "received", Value: 5}}} { // the second is older
		if _, err := conn.Write(reported(t, key, uint64(seq+1), int64(1_000_000-1000*seq), readings)); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); s.Ingest.Datagrams["accepted"] < 2; {
		if err := client.Get(t.Context(), "/status", &s); err != nil || time.Now().After(deadline) {
			t.Fatal(err, s.Ingest)
		}
	}
	out.Reset()
	if err := collector.ShowLedger(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"edge-1 up since", "its life before was killed", "kept: when it ended, ", "eth0 1 107 90 10 7 1 000 0 0 0", "refused at eth0: arp 7 ",
		"packets in records: 90 = 80 settled + 6 kept by the sensor + 4 dropped", "dropped: spool_full 4 ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	var l collector.Ledgers
	if err := collector.ShowLedgerJSON(t.Context(), o); err != nil || json.Unmarshal(out.Bytes(), &l) != nil || len(l.Sensors) != 1 ||
		l.Sensors[0].Interfaces["eth0"]["ring_dropped"] != 1000 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// reported seals a report of edge-1.
func reported(t *testing.T, path string, seq uint64, base int64, readings []flow.Reading) []byte {
	t.Helper()
	key, err := seal.LoadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.NewSealer("edge-1", key)
	if err != nil {
		t.Fatal(err)
	}
	const boot = 1_700_000_000_000_000_000
	e := wire.NewReportEncoder(1000)
	for _, r := range readings {
		if !e.Add(r) {
			t.Fatal("the report is too long")
		}
	}
	plain := wire.AppendHeader(nil, wire.Header{Kind: wire.Report, ID: "edge-1", Boot: boot, TX: seq})
	datagram, err := sealer.Seal(nil, e.AppendBody(plain, wire.Numbers{Boot: boot, Seq: seq, Floor: 1, Base: boot + base}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return datagram
}
