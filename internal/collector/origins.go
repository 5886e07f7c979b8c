package collector

import (
	"log/slog"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/enrich"
	"flowsensor/internal/metrics"
)

// EnrichConfig is [enrich].
type EnrichConfig struct {
	ASNDatabase    string          `toml:"asn_database"`
	PrefixTable    string          `toml:"prefix_table"`
	ReloadInterval config.Duration `toml:"reload_interval"`
}

func (c *EnrichConfig) validate(doc *config.Document) {
	doc.Check("enrich.reload_interval", config.DurationBetween(c.ReloadInterval, time.Second, 24*time.Hour))
}

func (c *EnrichConfig) enrich(log *slog.Logger) enrich.Config {
	return enrich.Config{Database: c.ASNDatabase, Prefixes: c.PrefixTable, Interval: c.ReloadInterval.D(), Log: log}
}

// readOrigins puts the metrics of the files that are configured.
func readOrigins(stats enrich.Stats, put metrics.Put) {
	for i, st := range stats {
		if st.Path == "" {
			continue
		}
		source, stale := enrich.Source(i).String(), 0.0
		if st.Stale {
			stale = 1
		}
		put("enrich_prefixes", float64(st.Prefixes), source)
		put("enrich_loaded_timestamp_seconds", float64(st.Loaded.UnixMilli())/1000, source)
		put("enrich_reloads_total", float64(st.Reloads), source)
		put("enrich_failures_total", float64(st.Failures), source)
		put("enrich_stale", stale, source)
	}
}
