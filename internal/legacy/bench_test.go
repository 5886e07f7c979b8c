package legacy_test

import (
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/legacy"
)

// A datagram of an agent, from token to batch.
func BenchmarkOpen(b *testing.B) {
	key := newKey(b)
	tokens := make([][]byte, 1<<12)
	for i := range tokens {
		tokens[i] = datagram(b, key, tcp)
	}
	var batch flow.Batch
	b.SetBytes(int64(len(tokens[0])))
	b.ReportAllocs()
	var agents *legacy.Agents
	at, now := len(tokens), at
	for b.Loop() {
		if at == len(tokens) {
			agents, at = newAgents(b, key), 0 // which remember no token
			now = now.Add(time.Nanosecond)
		}
		if reason := agents.Open(&batch, tokens[at], home, now); reason != legacy.ReasonOK {
			b.Fatal(reason)
		}
		at++
	}
}
