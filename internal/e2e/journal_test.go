package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The database is away and the collector is killed: what stands in the journal is written by its next life, each row
// once.
func TestJournalOutlivesCollector(t *testing.T) {
	r := newRig(t)
	const away = "[store]\nkind = \"influxdb\"\nage = \"50ms\"\n[store.influxdb]\nurl = \"http://127.0.0.1:1\"\n"
	r.start(quickFlows, away)
	expected, _, _, _ := total(known(t, r.span))
	r.eventually("all records are durable", func() bool {
		return r.metric(collectorPage, "flow_collector_accepted_records_total") == float64(len(expected)) &&
			r.metric(collectorPage, "flow_collector_journal_pending_bytes") == 0
	})
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	bin := programs(t)
	for range 2 {
		r.collector.Kill()
		r.collector = r.launch(ctx, bin, "collector", collectorPage)
	}
	r.eventually("the journal is read", func() bool {
		return r.metric(collectorPage, "flow_collector_journal_in_flight_records") == float64(len(expected))
	})
	r.collector.Kill()
	config, err := os.ReadFile(filepath.Join(r.dir, "collector.toml"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("collector.toml", strings.Replace(string(config), away, fileStore, 1), 0o644)
	r.collector = r.launch(ctx, bin, "collector", collectorPage)
	r.eventually("all rows are written", func() bool { return len(r.lines()) == len(expected) })
	r.stop()
	compare(t, r, r.lines(), expected)
	if log := r.log("collector"); !strings.Contains(log, "left_in_journal_records=0 journal_messages=0") {
		t.Error("the collector's ledger does not say that the journal is empty")
	}
	if kept, err := filepath.Glob(filepath.Join(r.dir, "journal", "damaged", "*")); err != nil || len(kept) > 0 {
		t.Errorf("a kill damaged the journal: %v, %v", kept, err)
	}
}
