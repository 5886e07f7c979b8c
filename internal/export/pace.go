package export

import "time"

// The pace of acknowledged delivery, in batches a second: it grows by one with each batch that is acknowledged, so that
// it may double in a second, and is halved where batches are not, at most once a second.
const (
	paceFirst = 4000
	paceLeast = 100
	paceMost  = 50_000
	paceBurst = 64
	paceCut   = time.Second
)

// pacer says how many batches may be sent now.
type pacer struct {
	rate   float64
	tokens float64
	last   time.Time
	cut    time.Time
}

func newPacer(now time.Time) pacer {
	return pacer{rate: paceFirst, tokens: paceBurst, last: now}
}

// take reports whether one more may be sent.
func (p *pacer) take(now time.Time) bool {
	if passed := now.Sub(p.last).Seconds(); passed > 0 {
		p.tokens = min(p.tokens+passed*p.rate, max(paceBurst, p.rate/20))
		p.last = now
	}
	if p.tokens < 1 {
		return false
	}
	p.tokens--
	return true
}

// giveBack returns what was taken in vain.
func (p *pacer) giveBack() { p.tokens++ }

func (p *pacer) faster() { p.rate = min(p.rate+1, paceMost) }

func (p *pacer) slower(now time.Time) {
	if now.Sub(p.cut) >= paceCut {
		p.cut = now
		p.rate = max(p.rate/2, paceLeast)
	}
}
