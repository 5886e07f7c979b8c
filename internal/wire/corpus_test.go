package wire_test

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
	"flowsensor/internal/pcapfile"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// corpus is where real captures are, from this folder. They are no part of the project.
const corpus = "../../../shared/pcaps/mixed"

// captures lists the corpus, and skips where there is none.
func captures(tb testing.TB) []string {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(corpus, "*.pcap*"))
	if err != nil {
		tb.Fatal(err)
	}
	if len(paths) == 0 {
		tb.Skip("no captures in " + corpus + ": the folder is not part of the project")
	}
	return paths
}

// flowsOf gives the records of a capture, as the sensor would export them with its default timers.
func flowsOf(tb testing.TB, path string) []flow.Record {
	tb.Helper()
	r, err := pcapfile.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var records []flow.Record
	table, err := flowtable.New(
		flowtable.Config{MaxFlows: 1 << 20, Active: time.Minute, Inactive: 15 * time.Second, Linger: 2 * time.Second},
		func(r *flow.Record) { records = append(records, *r) },
	)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	decoder := packet.NewDecoder(packet.Config{})
	batch := make([]flow.Packet, 1)
	err = r.Walk(func(f *frame.Frame) {
		if decoder.Decode(&batch[0], f) == packet.OK {
			table.Account(batch, f.Time)
		}
		table.Expire(f.Time)
	})
	if err != nil {
		tb.Fatal(err)
	}
	table.Flush(0, flow.EndEOF)
	return records
}

// datagramBody is the room for a body in a datagram to an IPv4 peer.
var datagramBody = seal.MaxPlaintext(1472, len("edge-1")) - wire.HeaderLen(len("edge-1"))

// bodies packs records into as many bodies as they need.
func bodies(tb testing.TB, records []flow.Record, limit int) [][]byte {
	tb.Helper()
	var all [][]byte
	e := wire.NewFlowsEncoder(limit)
	ship := func() {
		all = append(all, e.AppendBody(nil, wire.Numbers{Seq: uint64(len(all)), Base: 1_700_000_000_000_000_000}))
		if n := len(all[len(all)-1]); n > limit || n != e.Size() {
			tb.Fatalf("a body of %d octets, said to be %d, the limit is %d", n, e.Size(), limit)
		}
		e.Reset()
	}
	for i := range records {
		if e.Add(&records[i], "eth0") {
			continue
		}
		ship()
		if !e.Add(&records[i], "eth0") {
			tb.Fatalf("record %d does not fit into an empty batch", i)
		}
	}
	if e.Len() > 0 {
		ship()
	}
	return all
}

// Real traffic survives, and is dense: more than 30 flows in a datagram.
func TestCorpus(t *testing.T) {
	flows, datagrams := 0, 0
	for _, path := range captures(t) {
		records := flowsOf(t, path)
		all := bodies(t, records, datagramBody)
		var parsed []flow.Record
		var b flow.Batch
		octets := 0
		for _, body := range all {
			octets += len(body)
			if err := wire.ParseFlows(body, &b); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			parsed = append(parsed, b.Records...)
		}
		if !reflect.DeepEqual(parsed, inMicros(records)) {
			t.Errorf("%s: the records do not come back", path)
		}
		flows, datagrams = flows+len(records), datagrams+len(all)
		t.Logf("%s: %d flows in %d datagrams: %.1f each, %.1f octets a flow", filepath.Base(path), len(records), len(all),
			float64(len(records))/float64(len(all)), float64(octets)/float64(len(records)))
	}
	if average := float64(flows) / float64(datagrams); average < 30 {
		t.Errorf("%.1f flows in a datagram", average)
	}
}

// inMicros cuts the times as the encoder does.
func inMicros(records []flow.Record) []flow.Record {
	cut := append([]flow.Record(nil), records...)
	for i := range cut {
		cut[i].First -= ((cut[i].First % 1000) + 1000) % 1000
		cut[i].Last -= ((cut[i].Last % 1000) + 1000) % 1000
	}
	return cut
}
