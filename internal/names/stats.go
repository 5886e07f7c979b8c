package names

// Stats is what a Cache holds, and what it counted since it was made.
type Stats struct {
	Entries uint64 // kept now
	Names   uint64 // distinct ones among them, counted per shard

	Added     uint64 // addresses of answers, those that renewed an entry included
	Renewed   uint64 // that found their entry there
	Hits      uint64 // lookups that gave a name
	Misses    uint64 // in a scope: a lookup that looks into two may miss twice
	Evicted   uint64 // entries that had to go because all were full
	Crowded   uint64 // because their client had too many
	Displaced uint64 // because their address had too many names at once
}

func (s *Stats) plus(t Stats) {
	s.Entries += t.Entries
	s.Names += t.Names
	s.Added += t.Added
	s.Renewed += t.Renewed
	s.Hits += t.Hits
	s.Misses += t.Misses
	s.Evicted += t.Evicted
	s.Crowded += t.Crowded
	s.Displaced += t.Displaced
}

// Stats may be called from any goroutine; the shards' figures are each of one instant.
func (c *Cache) Stats() Stats {
	var sum Stats
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.stats.Entries, s.stats.Names = uint64(s.all.length), uint64(len(s.names.numbers))
		sum.plus(s.stats)
		s.mu.Unlock()
	}
	return sum
}
