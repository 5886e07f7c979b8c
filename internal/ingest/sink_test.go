package ingest_test

import (
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/wire"
)

// A batch that the next stage will never take is refused for good and counted; what comes behind it is not held up.
func TestUnfitBatchIsRefusedForGood(t *testing.T) {
	edge, old := newAgent(t, "edge-1"), newAgent(t, "x")
	c := listen(t, ingest.Config{AnswerAfter: 100 * time.Millisecond, Agents: legacyAgents(t, old)}, edge.sensor())
	c.verdict = func(b *flow.Batch) ingest.Verdict {
		if b.Sensor != "edge-1" || len(b.Records) == 3 {
			return ingest.Unfit
		}
		return ingest.Accepted
	}
	c.run()
	conn := c.dial()
	send(t, conn, edge.flows(records(3)...), edge.flows(record(1)), bare(t, old, 1))
	st := c.settle(3)

	unfit := flow.Volume{Batches: 1, Records: 3, Packets: 6, Bytes: 6 * 1500}
	if st.Outcomes[ingest.ReasonUnfit] != 1 || st.Unfit != unfit || st.QueueFull != (flow.Volume{}) {
		t.Errorf("counted %+v", st)
	}
	if s := c.sensor("edge-1"); s.Outcomes[ingest.ReasonUnfit] != 1 || s.Unfit != unfit || s.QueueFull != (flow.Volume{}) {
		t.Errorf("sensor counted %+v", s)
	}
	if l := st.Legacy; l.Unfit != (flow.Volume{Batches: 1, Records: 1, Packets: 3, Bytes: 1500}) || l.QueueFull != (flow.Volume{}) {
		t.Errorf("legacy agents counted %+v", l)
	}
	a := edge.answered(conn).answer
	if len(a.Refusals) != 1 || a.Refusals[0].Reason != wire.RefusedValidate || a.Refusals[0].TX != 1 || !a.Refusals[0].Reason.Permanent() {
		t.Errorf("told %+v", a.Refusals)
	}
	if !a.HasAcks || a.Acks.Highest() != 2 {
		t.Errorf("the batch behind it: %+v", a)
	}
	for _, line := range c.logs.lines("refused") {
		t.Log(line)
	}
	if len(c.logs.lines("reason=unfit")) != 1 {
		t.Errorf("log:\n%s", c.logs)
	}
}
