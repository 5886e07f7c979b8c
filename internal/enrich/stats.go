package enrich

import "time"

// Stats is what is known, by source.
type Stats [Sources]SourceStats

// SourceStats is what became of one file. Counts are cumulative.
type SourceStats struct {
	Path     string    // "" where none is configured
	Prefixes int       // in the table
	Systems  int       // different AS and name
	Loaded   time.Time // when the table was made; zero where none is configured
	Reloads  uint64    // tables made of a file that had changed
	Failures uint64    // changed files that were refused
	// Stale is set while the file is not what the table was made of, because it was refused.
	Stale bool
}

// Stats gives a copy; any goroutine may call it.
func (o *Origins) Stats() Stats {
	return Stats{Database: o.database.stats(), Prefixes: o.prefixes.stats()}
}

func (s *source) stats() SourceStats {
	st := SourceStats{Path: s.path, Reloads: s.reloads.Load(), Failures: s.failures.Load(), Stale: s.stale.Load()}
	if t := s.table.Load(); t != nil {
		st.Prefixes, st.Systems, st.Loaded = t.prefixes, len(t.systems), time.Unix(0, s.loaded.Load())
	}
	return st
}
