package collector

import (
	"context"
	"log/slog"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/journal"
)

// What fits no message of the journal never will: it is not told to wait for room.
func TestSinkTellsUnfitFromFull(t *testing.T) {
	c := journal.DefaultConfig()
	c.Dir = t.TempDir()
	j, err := journal.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p := &pipeline{journal: j}
	p.appender = j.Appender(func(*flow.Batch, journal.Outcome) {})
	long := &flow.Batch{Sensor: "edge-1", Body: make([]byte, 200<<10)}
	if got := p.sink(long); got != ingest.Unfit {
		t.Errorf("a body of %d octets: verdict %d", len(long.Body), got)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.appender.Drain(done) // it takes nothing more
	if got := p.sink(&flow.Batch{Sensor: "edge-1", Body: make([]byte, 100)}); got != ingest.Full {
		t.Errorf("at the end: verdict %d", got)
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}
