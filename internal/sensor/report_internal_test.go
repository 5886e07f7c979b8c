package sensor

import (
	"log/slog"
	"slices"
	"testing"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
)

// Answers that were given up are in the report by their reason, also where no record was.
func TestReportOfDroppedAnswers(t *testing.T) {
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c := export.DefaultConfig()
	c.ID, c.Key, c.Collector, c.Delivery, c.Keeping = "edge-1", key, "127.0.0.1:9", export.FireAndForget, export.InMemory
	sender, err := export.NewSender(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := sender.Batcher("eth0")
	b.AddAnswer(&flow.DNSAnswer{}) // which no DNS server gives
	b.Close()
	if err := sender.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	s := &Service{pipeline: &pipeline{sender: sender}}
	want := flow.Reading{Name: "dropped_" + export.InvalidRecord.String() + "_dns_answers", Value: 1}
	if all := s.readings(living); !slices.Contains(all, want) {
		t.Errorf("%v is not among %v", want, all)
	}
	if err := sender.Close(); err != nil {
		t.Error(err)
	}
}
