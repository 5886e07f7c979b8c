package ingest_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/legacy"
	"flowsensor/internal/seal"
)

// bare makes datagrams as an agent of an older system does; n tells flows apart.
func bare(t *testing.T, a *agent, n int) []byte {
	t.Helper()
	text := fmt.Sprintf(`{"eth0,192.0.2.1,198.51.100.7,6,%d,443,0,2048":`+
		` {"bytes": 1500, "packets": 3, "start_time": 1700000000, "end_time": 1700000009, "flags": "FA"}}`, n)
	return bytes.TrimPrefix(a.sealPlain([]byte(base64.StdEncoding.EncodeToString([]byte(text)))), []byte(a.id+" "))
}

func legacyAgents(t *testing.T, a *agent) *legacy.Agents {
	t.Helper()
	agents, err := legacy.New([]legacy.Agent{{ID: "old-1", Address: loopback4, Keys: a.keys}}, seal.Limits{}, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return agents
}

// Bare tokens are junk unless there are agents that may send them.
func TestBareTokensAreOffByDefault(t *testing.T) {
	a := newAgent(t, "x")
	c := start(t, ingest.Config{})
	conn := c.dial()
	send(t, conn, bare(t, a, 1), []byte("Test"))
	st := c.settle(2)
	if st.Outcomes[ingest.ReasonShape] != 1 || st.Outcomes[ingest.ReasonSize] != 1 || len(c.batches()) != 0 {
		t.Errorf("outcomes %v, %d batches", st.Outcomes, len(c.batches()))
	}
	c.SetAgents(legacyAgents(t, a)) // as a reload does
	send(t, conn, bare(t, a, 1))
	if st := c.settle(3); st.Outcomes[ingest.ReasonLegacy] != 1 || len(c.batches()) != 1 {
		t.Errorf("after the reload: outcomes %v, %d batches", st.Outcomes, len(c.batches()))
	}
}

// Agents are counted apart from sensors, never answered, and a sensor beside them is what it was.
func TestLegacyAgentsAreCountedApart(t *testing.T) {
	edge, old := newAgent(t, "edge-1"), newAgent(t, "x")
	c := listen(t, ingest.Config{Agents: legacyAgents(t, old)}, edge.sensor())
	c.verdict = func(b *flow.Batch) ingest.Verdict {
		if b.Records[0].SrcPort == 4 {
			return ingest.Full
		}
		return ingest.Accepted
	}
	c.run()
	conn := c.dial()
	again := bare(t, old, 2)
	send(t, conn, []byte("Test"), bare(t, old, 1), again, again, bare(t, newAgent(t, "x"), 3), bare(t, old, 4), edge.flows(records(2)...))
	st := c.settle(7)

	want := ingest.LegacyStats{
		Accepted:  flow.Volume{Batches: 2, Records: 2, Packets: 6, Bytes: 3000},
		QueueFull: flow.Volume{Batches: 1, Records: 1, Packets: 3, Bytes: 1500},
		Durable:   flow.Volume{Batches: 2, Records: 2, Packets: 6, Bytes: 3000},
	}
	want.Outcomes[legacy.ReasonOK], want.Outcomes[legacy.ReasonGreeting] = 3, 1
	want.Outcomes[legacy.ReasonReplayed], want.Outcomes[legacy.ReasonHMAC] = 1, 1
	got := st.Legacy
	got.Agents = nil
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if st.Outcomes[ingest.ReasonLegacy] != 3 || st.Outcomes[ingest.ReasonLegacyRefused] != 3 || st.Outcomes[ingest.ReasonAccepted] != 1 {
		t.Errorf("outcomes %v", st.Outcomes)
	}
	if st.Accepted.Records != 2 || st.Durable.Records != 2 || st.QueueFull.Records != 0 {
		t.Errorf("sensors: accepted %+v, durable %+v, full %+v", st.Accepted, st.Durable, st.QueueFull)
	}
	if len(st.Legacy.Agents) != 1 || st.Legacy.Agents[0].ID != "old-1" || st.Legacy.Agents[0].Records != 3 {
		t.Errorf("agents %+v", st.Legacy.Agents)
	}
	for _, b := range c.batches() {
		if agent := b.Sensor == "old-1"; agent != (b.InterfaceName(b.Records[0].IfIndex) == "eth0" && b.Records[0].Bytes == 1500 && len(b.Body) == 0) {
			t.Errorf("batch %+v", b)
		}
	}
	eventually(t, func() bool { return c.Stats().Answers.Sent == 1 }) // to the sensor, and nothing else
	if log := c.logs.String(); !strings.Contains(log, "legacy_refused") || strings.Contains(log, "gAAAAA") {
		t.Errorf("log: %s", log)
	}
}

func TestLegacyBatchesThatAreLost(t *testing.T) {
	old := newAgent(t, "x")
	c := listen(t, ingest.Config{Agents: legacyAgents(t, old)})
	c.hold = func(b *flow.Batch) { c.Settle(b, ingest.Lost) }
	c.run()
	send(t, c.dial(), bare(t, old, 1))
	c.settle(1)
	if st := c.Stats(); st.Legacy.Lost.Records != 1 || st.Legacy.Durable.Records != 0 || st.Lost.Records != 0 {
		t.Errorf("legacy %+v, sensors' lost %+v", st.Legacy, st.Lost)
	}
}

// An agent that a reload takes away leaves its batches on their way: they end where they were counted in.
func TestLegacyBatchesOfAnAgentThatIsGone(t *testing.T) {
	old := newAgent(t, "x")
	c := listen(t, ingest.Config{Agents: legacyAgents(t, old)})
	held := make(chan *flow.Batch, 1)
	c.hold = func(b *flow.Batch) { held <- b }
	c.run()
	send(t, c.dial(), bare(t, old, 1))
	c.settle(1)
	c.SetAgents(nil)
	c.Settle(<-held, ingest.Durable)
	if st := c.Stats(); st.Legacy.Durable != st.Legacy.Accepted || st.Durable != (flow.Volume{}) {
		t.Errorf("legacy %+v, sensors' durable %+v", st.Legacy, st.Durable)
	}
}
