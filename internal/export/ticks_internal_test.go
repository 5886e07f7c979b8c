package export

import (
	"testing"
	"time"
)

// An idle sensor is not woken fifty times a second.
func TestTicksGoWithTheWork(t *testing.T) {
	var some parcel
	cfg := Config{ResendAfter: time.Second}
	for name, c := range map[string]struct {
		box  outbox
		want time.Duration
	}{
		"nothing to do":               {outbox{}, tickIdle},
		"answers to come":             {outbox{resends: resends{&some}}, tickAnswers},
		"acknowledged in the spool":   {outbox{dels: []int64{1}}, tickAnswers},
		"the collector is asked":      {outbox{probe: prober{out: true}}, tickAnswers},
		"waiting for the pace":        {outbox{waiting: []*parcel{&some}, resends: resends{&some}}, tickEvery},
		"on the way to the spool":     {outbox{writing: []*parcel{&some}}, tickEvery},
		"the spool is to be sent":     {outbox{onDisk: 1}, tickEvery},
		"something of it in our hand": {outbox{backlog: []*parcel{&some}}, tickEvery},
	} {
		c.box.cfg = &cfg
		tick := &ticks{Ticker: time.NewTicker(time.Hour), out: &c.box, every: time.Hour}
		tick.adapt()
		tick.Stop()
		if tick.every != c.want {
			t.Errorf("%s: every %s, want %s", name, tick.every, c.want)
		}
	}
	short := &ticks{Ticker: time.NewTicker(time.Hour), out: &outbox{cfg: &Config{ResendAfter: 50 * time.Millisecond}, resends: resends{&some}}}
	defer short.Stop()
	if short.adapt(); short.every != tickEvery {
		t.Errorf("resends after 50ms are looked for every %s", short.every)
	}
	none := &ticks{} // no acknowledgements
	none.adapt()
}
