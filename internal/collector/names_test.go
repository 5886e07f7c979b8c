package collector

import (
	"testing"

	"flowsensor/internal/flow"
)

const noon = int64(1_795_348_800_000_000_000)

// told is a batch of one answer.
func told(sensor string, client uint64, question string) *flow.Batch {
	return &flow.Batch{Content: flow.DNSAnswers, Sensor: sensor, Answers: []flow.DNSAnswer{{
		Client: flow.Addr{Lo: client}, Server: flow.Addr{Lo: 53}, Version: 4, Time: noon, Question: question, QType: 1,
		Addresses: []flow.DNSAddress{{Addr: flow.Addr{Lo: 99}, Version: 4, TTL: 60}},
	}}}
}

// asked is the name that a flow of a client to the address gets.
func asked(n *nameBook, sensor string, client uint64, evidence flow.Evidence) string {
	b := &flow.Batch{
		Sensor:       sensor,
		Records:      []flow.Record{{Key: flow.Key{Version: 4}, First: noon + 1, Last: noon + 2}},
		Attributions: []flow.Attribution{{Client: flow.Addr{Lo: client}, Server: flow.Addr{Lo: 99}, Evidence: evidence}},
	}
	n.fill(b)
	return b.Attributions[0].ServerName
}

// Whose answers name whose flows: a sensor's those of that sensor, what DNS servers tell those of all.
func TestWhoseNames(t *testing.T) {
	for _, across := range []bool{false, true} {
		c := Defaults().Names
		c.AcrossSensors = across
		n := newNameBook(c)
		n.learn(told("edge-1", 1, "seen.example"))
		n.learn(told(dnstapMark+"collector", 2, "told.example"))
		other := ""
		if across {
			other = "seen.example"
		}
		for name, c := range map[string]struct{ got, want string }{
			"the sensor's own":      {asked(n, "edge-1", 1, flow.EvidenceHandshake), "seen.example"},
			"another sensor's":      {asked(n, "edge-2", 1, flow.EvidenceHandshake), other},
			"from a DNS server":     {asked(n, "edge-2", 2, flow.EvidenceTie), "told.example"},
			"another client":        {asked(n, "edge-1", 3, flow.EvidenceHandshake), ""},
			"nobody knows who asks": {asked(n, "edge-1", 1, 0), ""},
		} {
			if c.got != c.want {
				t.Errorf("%s, across %v: %q, want %q", name, across, c.got, c.want)
			}
		}
	}
}
