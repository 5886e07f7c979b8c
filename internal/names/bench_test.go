package names_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"flowsensor/internal/names"
)

func million() names.Config {
	return names.Config{MaxEntries: 1 << 20, MaxPerClient: 1 << 12, Grace: time.Minute}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkFull fills a cache with a million answers of 20,000 clients, a fifth of the names distinct, and says what it takes.
func BenchmarkFull(b *testing.B) {
	for b.Loop() {
		before := heap()
		c := names.New(million())
		for i := range 1_000_000 {
			c.Add("edge-1", told(number(i%20_000), fmt.Sprintf("host-%d.service.example.org", i/5), number(1<<24+i/20_000), int64(i/10_000), 60))
		}
		s := c.Stats()
		b.ReportMetric(float64(heap()-before)/float64(s.Entries), "B/entry")
		b.ReportMetric(float64(s.Entries), "entries")
		runtime.KeepAlive(c)
	}
}

func BenchmarkLookup(b *testing.B) {
	c := names.New(million())
	for i := range 1_000_000 {
		c.Add("edge-1", told(number(i%20_000), fmt.Sprintf("host-%d.service.example.org", i/5), number(1<<24+i/20_000), 0, 60))
	}
	for name, known := range map[string]int{"hit": 0, "miss": 1 << 30} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				n := i * 7919 % 1_000_000
				c.Lookup("edge-1", flowAt(number(n%20_000+known), number(1<<24+n/20_000), 1))
			}
		})
	}
}
