package names

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"flowsensor/internal/flow"
)

const (
	// shardCount is a power of two.
	shardCount = 16
	// groupCount is the groups of a shard that clients are dealt into, a power of two.
	groupCount = 1 << 12
	// maxPerKey is how many names one client may have for one address at once.
	maxPerKey = 4
	// lead is by how much a flow may begin before its answer: the clocks of two machines, where dnstap tells of it.
	lead = 2 * time.Second
)

// Cache holds the answers. Make it with New.
type Cache struct {
	seed   maphash.Seed
	grace  int64
	common atomic.Bool // whether there is anything in the scope ""
	shards [shardCount]shard
}

// shard is the part of the cache for some clients.
type shard struct {
	mu    sync.Mutex
	table // protected by mu
}

// Query is what a flow asks for.
type Query struct {
	Client, Server flow.Addr
	Version        uint8 // of both
	First, Last    int64 // the flow's, ns since the Unix epoch
}

// New makes an empty cache. The configuration must be valid. Memory is taken as it fills.
func New(c Config) *Cache {
	n := &Cache{seed: maphash.MakeSeed(), grace: int64(c.Grace)}
	for i := range n.shards {
		n.shards[i].table = newTable(max(c.MaxEntries/shardCount, 1), c.MaxPerClient)
	}
	return n
}

// client is whose answer it is.
type client struct {
	scope   uint64
	addr    flow.Addr
	version uint8
}

func (c client) key(server flow.Addr, version uint8) key {
	return key{scope: c.scope, client: c.addr, clientVersion: c.version, server: server, serverVersion: version}
}

func (c *Cache) hash(k key) uint32 { return uint32(maphash.Comparable(c.seed, k)) }

func (c *Cache) scope(name string) uint64 {
	if name == "" {
		return 0
	}
	return maphash.String(c.seed, name) | 1
}

// place gives a client's shard, and its group in there.
func (c *Cache) place(of client) (*shard, uint32) {
	h := maphash.Comparable(c.seed, of)
	return &c.shards[h%shardCount], uint32(h / shardCount % groupCount)
}

// Add remembers the addresses of an answer. One that failed has none.
func (c *Cache) Add(scope string, a *flow.DNSAnswer) {
	if a.Failed() {
		return
	}
	if scope == "" && !c.common.Load() {
		c.common.Store(true)
	}
	asker := client{scope: c.scope(scope), addr: a.Client, version: a.Version}
	s, group := c.place(asker)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range a.Addresses {
		at := &a.Addresses[i]
		k := asker.key(at.Addr, at.Version)
		until := later(later(a.Time, int64(at.TTL)*int64(time.Second)), c.grace)
		s.add(k, c.hash(k), group, answer{name: a.Question, time: a.Time, until: until})
	}
}

// Lookup gives the name that the client of a flow asked for, "" when none is known.
func (c *Cache) Lookup(scope string, q Query) string {
	if scope != "" {
		if name := c.lookup(c.scope(scope), q); name != "" {
			return name
		}
	}
	if !c.common.Load() {
		return ""
	}
	return c.lookup(0, q)
}

func (c *Cache) lookup(scope uint64, q Query) string {
	asker := client{scope: scope, addr: q.Client, version: q.Version}
	s, _ := c.place(asker)
	k := asker.key(q.Server, q.Version)
	h := c.hash(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(k, h, q.First)
	if e == nil {
		s.stats.Misses++
		return ""
	}
	s.stats.Hits++
	e.until = max(e.until, later(q.Last, c.grace))
	return s.names.texts[e.name]
}

// later adds a span, up to the last time there is. Neither may be below zero.
func later(at, by int64) int64 {
	by = min(by, flow.MaxTime)
	return min(at, flow.MaxTime-by) + by
}
