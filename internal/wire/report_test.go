package wire_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

var ledger = []flow.Reading{
	{Name: "pending_records", Value: 7},
	{Name: "records", Value: 1 << 40},
	{Subject: "eth0", Name: "accounted", Value: 12},
	{Subject: "eth0", Name: "refused_arp", Value: -1},
	{Subject: "eth1", Name: "accounted", Value: math.MinInt64},
	{Name: "accounted", Value: math.MaxInt64},
}

func reportBody(tb testing.TB, readings ...flow.Reading) []byte {
	tb.Helper()
	e := wire.NewReportEncoder(math.MaxInt)
	for _, r := range readings {
		if !e.Add(r) {
			tb.Fatal("does not fit")
		}
	}
	body := e.AppendBody(nil, wire.Numbers{Boot: 3, Seq: 9, Floor: 5, Base: 77})
	if len(body) != e.Size() {
		tb.Fatalf("%d octets, said to be %d", len(body), e.Size())
	}
	return body
}

func TestReport(t *testing.T) {
	body := reportBody(t, ledger...)
	b := flow.Batch{Records: make([]flow.Record, 1), Readings: []flow.Reading{{Name: "old"}}}
	if err := wire.Parse(flow.SensorReadings, body, &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(b.Readings, ledger) || b.Boot != 3 || b.Seq != 9 || b.Floor != 5 || b.Base != 77 || len(b.Records) != 0 ||
		b.Content != flow.SensorReadings {
		t.Errorf("parsed: %+v", b)
	}
	wire.Renumber(body, wire.Numbers{Boot: 4, Seq: 10, Floor: 10, Base: 78})
	if err := wire.ParseReport(body, &b); err != nil || b.Boot != 4 || b.Seq != 10 || b.Floor != 10 || b.Base != 78 {
		t.Errorf("renumbered: %+v, %v", b, err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = wire.ParseReport(body, &b) }); n > 2 { // the two interfaces' names
		t.Errorf("%v allocations to parse the same meters again", n)
	}
}

// The encoder never grows past its limit, and what it refused is not in the body.
func TestReportLimit(t *testing.T) {
	for limit := 30; limit < 140; limit++ {
		e := wire.NewReportEncoder(limit)
		n := 0
		for n < len(ledger) && e.Add(ledger[n]) {
			n++
		}
		if n == 0 {
			continue
		}
		body := e.AppendBody(nil, wire.Numbers{})
		var b flow.Batch
		if err := wire.ParseReport(body, &b); err != nil || len(body) > limit || !reflect.DeepEqual(b.Readings, ledger[:n]) {
			t.Errorf("limit %d: %d octets, %+v, %v", limit, len(body), b.Readings, err)
		}
	}
}

// What no field can be called is left out, what no tag can hold is made fit.
func TestReportUnfit(t *testing.T) {
	body := reportBody(t, flow.Reading{Subject: "a\nb" + strings.Repeat("x", 100), Name: "fine", Value: 1}, flow.Reading{Name: "not fine", Value: 2})
	var b flow.Batch
	if err := wire.ParseReport(body, &b); err != nil || len(b.Readings) != 1 || strings.ContainsRune(b.Readings[0].Subject, '\n') {
		t.Errorf("%+v, %v", b.Readings, err)
	}
}

func TestReportRefuses(t *testing.T) {
	good := reportBody(t, ledger[2])
	at := len(good) - len("\x05eth0\x09accounted\x18")
	for name, tc := range map[string]struct {
		body []byte
		want error
	}{
		"nothing":          {nil, wire.ErrTruncated},
		"coding":           {append([]byte{9}, good[1:]...), wire.ErrCoding},
		"no readings":      {append(bytes.Clone(good[:at-1]), 0), wire.ErrCount},
		"too many":         {append(bytes.Clone(good[:at-1]), 0x81, 0x08), wire.ErrCount},
		"no subject yet":   {append(bytes.Clone(good[:at]), "\x00\x09accounted\x18"...), wire.ErrReference},
		"subject's length": {append(bytes.Clone(good[:at]), 0xff, 0x01), wire.ErrValue},
		"control in it":    {append(bytes.Clone(good[:at]), "\x05et\n0\x09accounted\x18"...), wire.ErrInterface},
		"name":             {append(bytes.Clone(good[:at]), "\x05eth0\x09account d\x18"...), wire.ErrMeter},
		"name of ours":     {append(bytes.Clone(good[:at]), "\x05eth0\x04boot\x18"...), wire.ErrMeter},
		"overlong value":   {append(bytes.Clone(good[:len(good)-1]), 0x98, 0x00), wire.ErrValue},
		"trailing":         {append(bytes.Clone(good), 0), wire.ErrTrailing},
	} {
		b := flow.Batch{Readings: make([]flow.Reading, 2)}
		if err := wire.ParseReport(tc.body, &b); !errors.Is(err, tc.want) || len(b.Readings) != 0 || b.Boot != 0 {
			t.Errorf("%s: %v, want %v; %+v", name, err, tc.want, b)
		}
	}
	for n := range good {
		var b flow.Batch
		if err := wire.ParseReport(good[:n], &b); !errors.Is(err, wire.ErrTruncated) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	if err := wire.Parse(99, good, &flow.Batch{}); !errors.Is(err, wire.ErrKind) {
		t.Errorf("content 99: %v", err)
	}
}

// FuzzReport: no panic, no memory beyond the bound, one way to code a report.
func FuzzReport(f *testing.F) {
	f.Add(reportBody(f, ledger...))
	f.Add(reportBody(f, ledger[:1]...))
	f.Fuzz(func(t *testing.T, body []byte) {
		var b flow.Batch
		if err := wire.ParseReport(body, &b); err != nil {
			return
		}
		if cap(b.Readings) > 2*len(body) || len(b.Readings) > wire.MaxReadings {
			t.Fatalf("%d octets take room for %d readings", len(body), cap(b.Readings))
		}
		e := wire.NewReportEncoder(math.MaxInt)
		for _, r := range b.Readings {
			e.Add(r)
		}
		if again := e.AppendBody(nil, wire.Numbers{Boot: b.Boot, Seq: b.Seq, Floor: b.Floor, Base: b.Base}); !bytes.Equal(again, body) {
			t.Fatalf("coded again it is another body:\n%x\n%x", body, again)
		}
	})
}
