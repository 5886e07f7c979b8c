package collector

import (
	"strings"

	"flowsensor/internal/flow"
	"flowsensor/internal/metrics"
	"flowsensor/internal/names"
)

// dnstapMark stands in front of a collector's name where that is the source of answers; no sensor's id begins with it.
const dnstapMark = "+"

// nameBook is where the writing process remembers the answers that come through the journal. Safe for concurrent use.
type nameBook struct {
	cache  *names.Cache
	across bool
}

func newNameBook(c NamesConfig) *nameBook {
	return &nameBook{cache: names.New(c.names()), across: c.AcrossSensors}
}

// scope is whose flows a sensor's answers name. What DNS servers tell is for all.
func (n *nameBook) scope(sensor string) string {
	if n.across || strings.HasPrefix(sensor, dnstapMark) {
		return ""
	}
	return sensor
}

// learn remembers the answers of a batch.
func (n *nameBook) learn(b *flow.Batch) {
	scope := n.scope(b.Sensor)
	for i := range b.Answers {
		n.cache.Add(scope, &b.Answers[i])
	}
}

// fill gives each record's server the name that its client asked for, where it is known which is which.
func (n *nameBook) fill(b *flow.Batch) {
	scope := n.scope(b.Sensor)
	for i := range b.Attributions {
		r, at := &b.Records[i], &b.Attributions[i]
		if at.Evidence == 0 {
			continue
		}
		at.ServerName = n.cache.Lookup(scope, names.Query{Client: at.Client, Server: at.Server, Version: r.Version, First: r.First, Last: r.Last})
	}
}

func (n *nameBook) read(put metrics.Put) {
	st := n.cache.Stats()
	put("names_entries", float64(st.Entries))
	put("names_distinct", float64(st.Names))
	put("names_added_total", float64(st.Added))
	put("names_removed_total", float64(st.Evicted), "full")
	put("names_removed_total", float64(st.Crowded), "client")
	put("names_removed_total", float64(st.Displaced), "address")
	put("names_lookups_total", float64(st.Hits), "hit")
	put("names_lookups_total", float64(st.Misses), "miss")
}
