package flow

import (
	"encoding/json"
	"net/netip"
)

// answerJSON is the answer in the names of the manual; see MarshalJSON.
type answerJSON struct {
	Time      string        `json:"time"`
	Client    netip.Addr    `json:"client"`
	Server    netip.Addr    `json:"server"`
	Question  string        `json:"question"`
	QType     string        `json:"qtype"`
	RCode     string        `json:"rcode"`
	Chain     []string      `json:"chain,omitempty"`
	Addresses []addressJSON `json:"addresses,omitempty"`
}

type addressJSON struct {
	Address netip.Addr `json:"address"`
	TTL     uint32     `json:"ttl"`
}

// MarshalJSON gives one object, in the forms of a record's: RFC 5952 addresses, RFC 3339 times.
func (a *DNSAnswer) MarshalJSON() ([]byte, error) {
	out := answerJSON{
		Time: timeText(a.Time), Client: a.Client.Netip(a.Version), Server: a.Server.Netip(a.Version), Question: a.Question,
		QType: a.Type(), RCode: a.Outcome(), Chain: a.Chain,
	}
	for _, at := range a.Addresses {
		out.Addresses = append(out.Addresses, addressJSON{at.Addr.Netip(at.Version), at.TTL})
	}
	return json.Marshal(out)
}
