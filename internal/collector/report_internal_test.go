package collector

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
