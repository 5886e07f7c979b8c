package sensor

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/daemon"
	"flowsensor/internal/testnet"
)

// A sensor that has no route to its collector when it starts captures all the same, and keeps what it makes.
func TestCaptureBeforeThereIsARoute(t *testing.T) {
	testnet.RequireRoot(t)
	l := testnet.NewLink(t, testnet.Config{})
	c := configOn(t, l)
	c.Export.Collector = []string{"203.0.113.9:9999"} // not on the link, and there is no other
	s := NewService("", c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	if err := l.Capture.Do(func() error { return s.Start(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	const flows = 100
	sendFrom(t, l, flows, 0)
	awaitQuiet(s)
	if status := s.Status(); !strings.Contains(status, absent) {
		t.Errorf("the status does not say that there is no collector yet: %s", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	stats := s.pipeline.sender.Stats()
	if ledger := s.Ledger(); !ledger.Balanced() || ledger.Received != flows || stats.SpoolBatches == 0 || stats.DroppedTotal().Records != 0 {
		t.Errorf("%+v, %d batches in the spool, dropped %+v", ledger, stats.SpoolBatches, stats.Dropped)
	}
}
