package collector

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
)

// taking gives what takes batches for a journal, as the daemon has it.
func taking(t *testing.T) *journal.Appender {
	t.Helper()
	c := journal.DefaultConfig()
	c.Dir, c.MinFree = t.TempDir(), 1<<20
	j, err := journal.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j.Appender(func(*flow.Batch, journal.Outcome) {})
}

// The ledger of a collector with hundreds of sensors is more than one batch holds.
func TestReportOfManySensors(t *testing.T) {
	var all []flow.Reading
	for i := range 500 {
		for j := range 1 + i%60 {
			all = append(all, flow.Reading{Subject: fmt.Sprint("edge-", i), Name: fmt.Sprintf("meter_%02d", j), Value: int64(i)})
		}
	}
	appender, r := taking(t), newReporter(Config{ID: "c"}, time.Now())
	var joined []flow.Reading
	seen := make(map[string]bool)
	for part := range parts(all, journal.MaxReadings) {
		if err := appender.Append(r.batch(part, time.Now())); err != nil {
			t.Fatalf("%d readings: %v", len(part), err)
		}
		if seen[part[0].Subject] {
			t.Errorf("the point of %s is divided", part[0].Subject)
		}
		for i := range part {
			seen[part[i].Subject] = true
		}
		joined = append(joined, part...)
	}
	if !slices.Equal(joined, all) {
		t.Errorf("%d of %d readings", len(joined), len(all))
	}
}

// Names as long as names can be are no reason to lose what others asked for beside them.
func TestLongAnswersOfDnstap(t *testing.T) {
	f := &dnstapFeed{
		submit: taking(t).Append, next: reporter{name: "+c", boot: 1}, failures: dnsmsg.FailureLimit{PerSecond: 1},
	}
	long := func(i int) string {
		return strings.Repeat(fmt.Sprintf("%03d.", i), flow.MaxDNSName/4) + fmt.Sprintf("%03d", i)
	}
	for i := range dnstapBatch {
		a := flow.DNSAnswer{Version: 4, Question: long(i), Chain: []string{long(999 - i)}, QType: 1}
		for j := range flow.MaxDNSAddresses {
			a.Addresses = append(a.Addresses, flow.DNSAddress{Version: 6, Addr: flow.Addr{Hi: uint64(i), Lo: uint64(j)}, TTL: uint32(i + j)})
		}
		if err := a.Validate(); err != nil {
			t.Fatal(err)
		}
		f.take(&a)
	}
	f.flush()
	if n, lost := f.appended.Load(), f.full.Load(); n != dnstapBatch || lost != 0 {
		t.Errorf("%d answers in the journal and %d lost, of %d", n, lost, dnstapBatch)
	}
}

// The ledger's sum holds where records are kept out of the measurement flow, too.
func TestReportOfWithheldRecords(t *testing.T) {
	c := Defaults()
	c.Networks = []NetworkConfig{{Name: "office", Prefixes: []string{"10.0.0.0/8"}}}
	c.Rollup.Flow.Networks = []string{"office"}
	r := newRolled(t, c)
	defer r.stop()
	r.Open(time.Now().UnixNano() / int64(window))
	b := &flow.Batch{Sensor: "edge-1", Base: 1}
	for i := range uint64(4) {
		b.Records = append(b.Records, flow.Record{
			Key:   flow.Key{Version: 4, Src: flow.Addr{Lo: (9+i%2)<<24 + 1}, Dst: flow.Addr{Lo: 0x09000002}, Proto: flow.ProtoTCP},
			Bytes: 100, Packets: 1 + i, EndReason: flow.EndIdle,
		})
	}
	r.Add(b)
	if err := r.pool.Submit(b); err != nil {
		t.Fatal(err)
	}
	var run sync.WaitGroup
	run.Go(func() { _ = r.pool.Run(t.Context()) })
	if err := r.pool.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	run.Wait()
	m := make(meters)
	m.store(journal.ReadStats{Submitted: flow.Volume{Batches: 1, Records: 4, Packets: 10, Bytes: 400}}, r.pool.Stats())
	for _, unit := range []string{"_records", "_packets", "_bytes"} {
		if sum := m["written"+unit] + m["withheld"+unit] + m["dead_lettered"+unit] + m["left"+unit]; sum != m["read"+unit] || m["withheld"+unit] == 0 {
			t.Errorf("of %d%s the ledger has %d: %v", m["read"+unit], unit, sum, m)
		}
	}
}

// Servers whose clocks differ share one bound of failures.
func TestFailuresOfServersWithOtherClocks(t *testing.T) {
	f := &dnstapFeed{submit: func(*flow.Batch) error { return nil }, started: time.Now(), failures: dnsmsg.FailureLimit{PerSecond: 3}}
	start := time.Now()
	for i := range int64(100) {
		f.take(&flow.DNSAnswer{Version: 4, Question: "gone.example", RCode: 3, Time: i % 2 * int64(time.Minute)})
	}
	if passed := 100 - f.limited.Load(); passed > 3*uint64(1+time.Since(start)/time.Second) {
		t.Errorf("%d failures passed in %s, 3 a second may", passed, time.Since(start))
	}
}
