package names_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/names"
)

// model is the cache as the package comment has it, without any bound: every answer ever, and what prolonged them.
type model struct {
	grace   int64
	answers []modelAnswer
}

type modelAnswer struct {
	scope          string
	client, server flow.Addr
	name           string
	time, until    int64
}

func (m *model) add(scope string, a *flow.DNSAnswer) {
	for _, at := range a.Addresses {
		until := a.Time + int64(at.TTL)*second + m.grace
		m.answers = append(m.answers, modelAnswer{scope, a.Client, at.Addr, a.Question, a.Time, until})
	}
}

// lookup gives every name that a flow may have: of the answers that hold, those that came last before it.
func (m *model) lookup(scope string, q names.Query) (best []*modelAnswer) {
	for _, scope := range []string{scope, ""} {
		for i := range m.answers {
			a := &m.answers[i]
			if a.scope != scope || a.client != q.Client || a.server != q.Server || a.time > q.First || a.until < q.First {
				continue
			}
			if len(best) > 0 && a.time > best[0].time {
				best = best[:0]
			}
			if len(best) == 0 || a.time == best[0].time {
				best = append(best, a)
			}
		}
		if len(best) > 0 {
			return best
		}
	}
	return nil
}

// TestAgainstModel asks both after each of many random answers. Times grow, and answers have gaps that are longer than they
// hold, so that what the cache joins is what the model has as one after the other.
func TestAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cfg := names.Config{MaxEntries: 1 << 20, MaxPerClient: 1 << 16, Grace: time.Second}
	c, m := names.New(cfg), &model{grace: int64(cfg.Grace)}
	scopes := []string{"", "edge-1", "edge-2"}
	now := int64(0)
	hits := 0
	for i := range 4000 {
		now += random.Int64N(4)
		a := told(number(random.IntN(6)), fmt.Sprint("n", random.IntN(3)), number(100+random.IntN(6)), now, uint32(random.IntN(20)))
		scope := scopes[random.IntN(3)]
		c.Add(scope, a)
		m.add(scope, a)
		for range 3 {
			q := flowAt(number(random.IntN(6)), number(100+random.IntN(6)), now+random.Int64N(3))
			q.Last = q.First - int64(cfg.Grace) // so that no look-up prolongs
			scope := scopes[random.IntN(3)]
			got, allowed := c.Lookup(scope, q), m.lookup(scope, q)
			ok := got == "" && len(allowed) == 0
			for _, a := range allowed {
				ok = ok || a.name == got
			}
			if !ok {
				t.Fatalf("after %d answers: %q, the model allows %+v for %+v in %q", i+1, got, allowed, q, scope)
			}
			if got != "" {
				hits++
			}
		}
	}
	if hits < 1000 {
		t.Errorf("only %d look-ups had a name", hits)
	}
}
