package export

import (
	"context"
	"errors"
	"time"
)

// lookOnEvery is how often a sender without a collector looks for it.
const lookOnEvery = 5 * time.Second

// errNowhere is what sending gives before the collector was found.
var errNowhere = errors.New("the collector was not found yet")

// nowhere is the link of a sender that has not found its collector yet. It has no socket, and its ends are not valid.
func nowhere() *link { return &link{fd: -1, headers: headersV4, gone: make(chan struct{})} }

// leads reports whether there is a collector at the other end.
func (l *link) leads() bool { return l.Remote.IsValid() }

// begin opens the first link: to the collector or, where there is none and the configuration lets the sender look on, to
// nowhere.
func (r *resolver) begin(ctx context.Context) (*link, error) {
	l, err := r.first(ctx)
	if err == nil || r.cfg.Absent != LookOn || r.cfg.Delivery != Acknowledged {
		return l, err
	}
	r.absent = true
	r.tally.resolveFails.Add(1)
	r.tally.fail(err)
	r.log.Warn("there is no way to the collector yet: what should go there is kept, and it is looked for every few seconds", "error", err)
	return nowhere(), nil
}
