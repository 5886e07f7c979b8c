package wire_test

import (
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

// In steady state neither way allocates, whatever the traffic.
func TestAllocations(t *testing.T) {
	for _, name := range mixes {
		records := mix(name, 4000)
		e := wire.NewFlowsEncoder(datagramBody)
		var b flow.Batch
		plaintext := make([]byte, 0, 2000)
		next := 0
		batch := func() {
			e.Reset()
			for e.Add(&records[next], "eth0") {
				next = (next + 1) % len(records)
			}
			plaintext = wire.AppendHeader(plaintext[:0], wire.Header{Kind: wire.Flows, ID: "edge-1", Boot: 1, TX: 2})
			plaintext = e.AppendBody(plaintext, wire.Numbers{Seq: 1, Floor: 1, Base: noon})
			h, body, err := wire.ParseHeader(plaintext)
			if err != nil || h.ID != "edge-1" {
				t.Fatal(err, h.Kind)
			}
			if err := wire.ParseFlows(body, &b); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			batch()
		}
		if n := testing.AllocsPerRun(200, batch); n != 0 {
			t.Errorf("%s: %v allocations for each batch", name, n)
		}
	}
}
