package wire_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

// encode puts records into one body, however long.
func encode(tb testing.TB, records []flow.Record, iface func(*flow.Record) string) []byte {
	tb.Helper()
	e := wire.NewFlowsEncoder(math.MaxInt)
	for i := range records {
		if !e.Add(&records[i], iface(&records[i])) {
			tb.Fatalf("record %d of %d does not fit", i, len(records))
		}
	}
	return e.AppendBody(nil, wire.Numbers{Boot: 3, Seq: 7, Floor: 5, Base: noon})
}

func eth0(*flow.Record) string { return "eth0" }

func none(*flow.Record) string { return "" }

func parsed(tb testing.TB, body []byte) flow.Batch {
	tb.Helper()
	var b flow.Batch
	if err := wire.ParseFlows(body, &b); err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestBatchComesBack(t *testing.T) {
	records := mix("mixed", 50)
	want := flow.Batch{
		Sensor: "edge-1", Boot: 3, Seq: 7, Floor: 5, Base: noon, Interfaces: []flow.Interface{{Index: 3, Name: "eth0"}}, Records: inMicros(records),
	}
	got := flow.Batch{Sensor: "edge-1"} // the caller's
	if err := wire.ParseFlows(encode(t, records, eth0), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestAnythingComesBack(t *testing.T) {
	for seed := range uint64(300) {
		records := newTraffic(seed).some(1 + int(seed))
		for i := range records {
			if err := records[i].Validate(); err != nil {
				t.Fatalf("the test makes a record that is not valid: %v", err)
			}
		}
		if got := parsed(t, encode(t, records, none)); !reflect.DeepEqual(got.Records, inMicros(records)) {
			for i := range records {
				if got.Records[i] != inMicros(records)[i] {
					t.Fatalf("seed %d, record %d:\ngot  %+v\nwant %+v", seed, i, got.Records[i], inMicros(records)[i])
				}
			}
		}
	}
}

// The codec carries what Validate will refuse: it is the collector that judges.
func TestNonsenseComesBack(t *testing.T) {
	full := flow.Addr{Hi: math.MaxUint64, Lo: math.MaxUint64}
	records := []flow.Record{
		{},
		{Key: flow.Key{Version: 4, Src: full, Dst: flow.Addr{Lo: 1 << 32}}, NextHop: full},
		{Key: flow.Key{Version: 255}, EndReason: 255, Bytes: math.MaxUint64, Packets: math.MaxUint64, SrcMask: 255, DstMask: 255},
		{First: 5000, Last: -5000},
		{First: -1, Last: -1001},
		{First: math.MaxInt64, Last: math.MinInt64 + 1000},
		{First: math.MinInt64 + 1000, Last: math.MaxInt64},
	}
	want := inMicros(records)
	if got := parsed(t, encode(t, records, none)).Records; !reflect.DeepEqual(got, want) {
		t.Errorf("\ngot  %+v\nwant %+v", got, want)
	}
	least := []flow.Record{{First: math.MinInt64, Last: math.MinInt64}}
	if got := parsed(t, encode(t, least, none)).Records[0]; got.First != -9223372036854775000 {
		t.Errorf("the least time comes back as %d", got.First)
	}
}

func TestTimesAreCutDownwards(t *testing.T) {
	for ns, want := range map[int64]int64{0: 0, 999: 0, 1000: 1000, 1999: 1000, -1: -1000, -1000: -1000, -1001: -2000, noon + 1: noon} {
		r := flow.Record{First: ns, Last: ns}
		if got := parsed(t, encode(t, []flow.Record{r}, none)).Records[0]; got.First != want || got.Last != want {
			t.Errorf("%d came back as %d, %d", ns, got.First, got.Last)
		}
	}
}

// fill adds records until one does not fit, and gives the body.
func fill(t *testing.T, e *wire.FlowsEncoder, records []flow.Record, limit int) []byte {
	t.Helper()
	for i := range records {
		size := e.Size()
		if e.Add(&records[i], "eth0") {
			if e.Size() > limit || e.Len() != i+1 {
				t.Fatalf("%d records, %d octets, limit %d", e.Len(), e.Size(), limit)
			}
			continue
		}
		if e.Size() != size || e.Len() != i {
			t.Fatalf("a record that did not fit was added: %d records, %d octets", e.Len(), e.Size())
		}
		break
	}
	// The worst numbers there are.
	body := e.AppendBody(nil, wire.Numbers{Boot: math.MaxUint64, Seq: wire.MaxSeq, Floor: wire.MaxSeq, Base: flow.MaxTime})
	if len(body) != e.Size() || len(body) > limit {
		t.Fatalf("%d octets, said to be %d, limit %d", len(body), e.Size(), limit)
	}
	return body
}

func TestLimitIsNeverExceeded(t *testing.T) {
	reused := map[int]*wire.FlowsEncoder{}
	for seed := range uint64(60) {
		records := newTraffic(seed).some(400)
		if seed%2 == 0 {
			records = mix("mixed", 400)[seed:]
		}
		for limit := wire.MinBody; limit < 3000; limit += 97 {
			if reused[limit] == nil {
				reused[limit] = wire.NewFlowsEncoder(limit)
			}
			reused[limit].Reset()
			body := fill(t, reused[limit], records, limit)
			n := reused[limit].Len()
			if got := parsed(t, body); !reflect.DeepEqual(got.Records, inMicros(records[:n])) {
				t.Fatalf("seed %d, limit %d: the %d records do not come back", seed, limit, n)
			}
			// Exact: the same records in a body without a limit are just as long, and one more is too long.
			if again := encode(t, records[:n], eth0); len(again) != len(body) {
				t.Fatalf("a used encoder makes %d octets, a new one %d", len(body), len(again))
			}
			if n < len(records) && len(encode(t, records[:n+1], eth0)) <= limit {
				t.Fatalf("seed %d, limit %d: full with %d records, though one more fits", seed, limit, n)
			}
		}
	}
}

// After a record that did not fit, a shorter one still may.
func TestAddAfterFull(t *testing.T) {
	const limit = 400
	e := wire.NewFlowsEncoder(limit)
	records := newTraffic(5).some(200)
	var in []flow.Record
	for i := range records {
		if e.Add(&records[i], "") {
			in = append(in, records[i])
		}
	}
	body := e.AppendBody(nil, wire.Numbers{Seq: 1, Floor: 1, Base: 1})
	if got := parsed(t, body); len(body) > limit || !reflect.DeepEqual(got.Records, inMicros(in)) {
		t.Errorf("%d records do not come back, or take %d octets", len(in), len(body))
	}
}

// The most that one record can take fits into the smallest batch.
func TestAnyRecordFitsIntoMinBody(t *testing.T) {
	full := func(x uint64) flow.Addr { return flow.Addr{Hi: math.MaxUint64 - x, Lo: math.MaxUint64 - x} }
	r := flow.Record{
		Key: flow.Key{
			Src: full(0), Dst: full(1), IfIndex: math.MaxUint32, SrcPort: math.MaxUint16, DstPort: math.MaxUint16,
			VLAN: math.MaxUint16, VLANInner: math.MaxUint16, Proto: 255, ToS: 255, Version: 255,
		},
		Bytes: math.MaxUint64, Packets: math.MaxUint64, First: math.MaxInt64, Last: math.MinInt64 + 1000,
		TCPFlags: math.MaxUint16, EndReason: 255, Handshake: 255, VLAN: math.MaxUint16, VLANInner: math.MaxUint16,
		NextHop: full(2), OutIf: math.MaxUint32, SrcAS: math.MaxUint32, DstAS: math.MaxUint32, Sampling: math.MaxUint32, SrcMask: 255, DstMask: 255,
	}
	e := wire.NewFlowsEncoder(wire.MinBody)
	if !e.Add(&r, strings.Repeat("x", wire.MaxInterfaceName+1)) {
		t.Fatal("it does not fit")
	}
	if got := parsed(t, e.AppendBody(nil, wire.Numbers{Seq: 1, Floor: 1, Base: 1})).Records[0]; got != inMicros([]flow.Record{r})[0] {
		t.Errorf("got %+v", got)
	}
}

func TestInterfaces(t *testing.T) {
	e := wire.NewFlowsEncoder(10000)
	add := func(index uint32, name string, want bool) {
		t.Helper()
		before := e.Len()
		if got := e.Add(&flow.Record{Key: flow.Key{IfIndex: index}}, name); got != want || want != (e.Len() > before) {
			t.Errorf("index %d, %q: %v", index, name, got)
		}
	}
	add(7, "eth7", true)
	add(3, "", true)
	add(4, "tab\there\x7f\u0085", true)
	add(5, "broken\xff", true)
	add(6, "x"+strings.Repeat("é", 40), true)
	add(7, "eth7", true)
	add(7, "eth8", false) // renamed meanwhile: the next batch says so
	add(7, "", false)
	add(3, "eth3", false)
	add(8, "eth7", true)
	add(0, "zero", true)
	got := parsed(t, e.AppendBody(nil, wire.Numbers{Seq: 1, Floor: 1, Base: 1}))
	want := []flow.Interface{
		{Index: 7, Name: "eth7"},
		{Index: 4, Name: "tab_here__"},
		{Index: 5, Name: "broken_"},
		{Index: 6, Name: "x" + strings.Repeat("é", 31)},
		{Index: 8, Name: "eth7"},
		{Index: 0, Name: "zero"},
	}
	if !reflect.DeepEqual(got.Interfaces, want) {
		t.Errorf("%+v", got.Interfaces)
	}
	var indexes []uint32
	for i := range got.Records {
		indexes = append(indexes, got.Records[i].IfIndex)
	}
	if !reflect.DeepEqual(indexes, []uint32{7, 3, 4, 5, 6, 7, 8, 0}) {
		t.Errorf("records come from %v", indexes)
	}
}

func TestBounds(t *testing.T) {
	e := wire.NewFlowsEncoder(math.MaxInt)
	for i := range wire.MaxInterfaces {
		if !e.Add(&flow.Record{Key: flow.Key{IfIndex: uint32(i)}}, fmt.Sprint("eth", i)) {
			t.Fatalf("interface %d is refused", i)
		}
	}
	if e.Add(&flow.Record{Key: flow.Key{IfIndex: 1 << 20}}, "more") {
		t.Error("more interfaces than a batch may have")
	}
	for e.Len() < wire.MaxRecords {
		if !e.Add(&flow.Record{}, "eth0") {
			t.Fatalf("record %d is refused", e.Len())
		}
	}
	if e.Add(&flow.Record{}, "eth0") {
		t.Error("more records than a batch may have")
	}
	got := parsed(t, e.AppendBody(nil, wire.Numbers{Seq: 1, Floor: 1, Base: 1}))
	if len(got.Records) != wire.MaxRecords || len(got.Interfaces) != wire.MaxInterfaces {
		t.Errorf("%d records of %d interfaces come back", len(got.Records), len(got.Interfaces))
	}
}

// The same batch under new numbers: a resend.
func TestAppendBodyAgain(t *testing.T) {
	e := wire.NewFlowsEncoder(1000)
	records := mix("tcp", 3)
	for i := range records {
		e.Add(&records[i], "eth0")
	}
	body := e.AppendBody(nil, wire.Numbers{Boot: 1, Seq: 1, Floor: 1, Base: 10})
	again := wire.Numbers{Boot: 2, Seq: 9, Floor: 4, Base: 20}
	first, second := parsed(t, body), parsed(t, e.AppendBody([]byte("kept"), again)[4:])
	wire.Renumber(body, again)
	if third := parsed(t, body); !reflect.DeepEqual(third, second) {
		t.Errorf("renumbered it is another batch:\n%+v\n%+v", third, second)
	}
	wire.Renumber(body[:7], again) // no body at all: left alone
	if first.Seq != 1 || second.Seq != 9 || second.Floor != 4 || second.Base != 20 || !reflect.DeepEqual(first.Records, second.Records) {
		t.Errorf("%+v\n%+v", first, second)
	}
}

// A batch that was used before shows nothing of it, whatever comes.
func TestParseReusesAndForgets(t *testing.T) {
	var b flow.Batch
	big := encode(t, newTraffic(1).some(300), none)
	small := []flow.Record{{Key: flow.Key{Version: 4}, Packets: 1}}
	for range 3 {
		if err := wire.ParseFlows(big, &b); err != nil {
			t.Fatal(err)
		}
		records, room := &b.Records[0], cap(b.Records)
		if err := wire.ParseFlows(big[:len(big)-1], &b); !errors.Is(err, wire.ErrTruncated) {
			t.Fatalf("truncated: %v", err)
		}
		if len(b.Records)+len(b.Interfaces) > 0 || b.Boot|b.Seq|b.Floor != 0 || b.Base != 0 {
			t.Errorf("after an error there is %+v", b)
		}
		if err := wire.ParseFlows(encode(t, small, none), &b); err != nil || !reflect.DeepEqual(b.Records, small) {
			t.Errorf("%v, %+v", err, b.Records)
		}
		if &b.Records[0] != records || cap(b.Records) != room {
			t.Error("the records' memory was not used again")
		}
	}
}
