package store_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
)

func failed(question string, rcode uint16) flow.DNSAnswer {
	return flow.DNSAnswer{
		Client: flow.Addr{Lo: 0xc0000201}, Server: flow.Addr{Lo: 0xc0000235}, Version: 4, Time: 1_700_000_000_000_001_000,
		Question: question, QType: 1, RCode: rcode,
	}
}

func TestDNSFailures(t *testing.T) {
	found := failed("found.example", 0)
	found.Addresses = []flow.DNSAddress{{Addr: flow.Addr{Lo: 1}, Version: 4}}
	chained, six := failed(`a\010b.example`, 16), failed("gone.example", 3)
	chained.Chain, chained.QType = []string{"b.example", "c.example"}, 99
	six.Version, six.QType = 6, 65
	b := &flow.Batch{
		Content: flow.DNSAnswers, Sensor: "edge-1", Base: 100,
		Answers: []flow.DNSAnswer{found, failed("gone.example", 3), failed("none.example", 0), failed("gone.example", 3), chained, six, failed("gone.example", 2)},
	}
	fields := func(question, qtype string, count int64, more ...any) map[string]any {
		m := map[string]any{
			"client": "192.0.2.1", "server": "192.0.2.53", "question": question, "qtype": qtype, "count": count, "first": int64(1_700_000_000_000_001),
		}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	want := []point{
		{"dns", []string{"rcode=nxdomain", "sensor=edge-1"}, fields("gone.example", "A", 2), 101},
		{"dns", []string{"rcode=nodata", "sensor=edge-1"}, fields("none.example", "A", 1), 102},
		{"dns", []string{"rcode=16", "sensor=edge-1"}, fields(`a\010b.example`, "TYPE99", 1, "chain", "b.example c.example"), 104},
		{"dns", []string{"rcode=nxdomain", "sensor=edge-1"}, fields("gone.example", "HTTPS", 1, "client", "::c000:201", "server", "::c000:235"), 105},
		{"dns", []string{"rcode=servfail", "sensor=edge-1"}, fields("gone.example", "A", 1), 106},
	}
	var lines store.Lines
	store.NewEncoder().Encode(&lines, b, func(i int, why store.DeadReason, cause error) { t.Errorf("answer %d: %v, %v", i, why, cause) })
	if got := parse(t, lines.Bytes()); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if c := lines.Count(); c != (store.Count{Reports: 5}) {
		t.Errorf("counted as %+v", c)
	}
}

// What would break a line stands in none, nor what has no time in the database.
func TestDNSFailuresRefused(t *testing.T) {
	var refused []store.DeadReason
	refuse := func(_ int, why store.DeadReason, _ error) { refused = append(refused, why) }
	var lines store.Lines
	b := &flow.Batch{Content: flow.DNSAnswers, Base: flow.MaxTime, Answers: []flow.DNSAnswer{failed("a\nflow bytes=1i", 3), failed("b", 3)}}
	store.NewEncoder().Encode(&lines, b, refuse)
	if want := []store.DeadReason{store.DeadRecordInvalid, store.DeadTimeOutOfRange}; !slices.Equal(refused, want) || lines.Len() != 0 {
		t.Errorf("refused %v, %d lines", refused, lines.Len())
	}
}
