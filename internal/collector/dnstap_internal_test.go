package collector

import (
	"testing"
	"time"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
)

// Answers that are not put into the journal are counted under the reason.
func TestDnstapDropsHaveTheirReason(t *testing.T) {
	for reason, err := range map[string]error{"journal_full": journal.ErrFull, "too_large": journal.ErrTooLarge} {
		f := &dnstapFeed{
			submit: func(*flow.Batch) error { return err }, started: time.Now(), next: reporter{name: "+test", boot: 1},
			failures: dnsmsg.FailureLimit{PerSecond: 1000},
		}
		for range 3 {
			f.take(&flow.DNSAnswer{Question: "www.example.org"})
		}
		f.flush()
		got := map[string]uint64{"journal_full": f.full.Load(), "too_large": f.unfit.Load()}
		if got[reason] != 3 || got["journal_full"]+got["too_large"] != 3 || f.appended.Load() != 0 {
			t.Errorf("%s: %v", reason, got)
		}
	}
}
