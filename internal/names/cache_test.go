package names_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/names"
)

const (
	noon   = int64(1_795_348_800_000_000_000)
	second = int64(time.Second)
)

func addr(text string) flow.Addr {
	a, _ := flow.AddrFrom(netip.MustParseAddr(text))
	return a
}

func number(n int) flow.Addr { return flow.Addr{Lo: uint64(n)} }

// told is an answer of one IPv4 address, seconds after noon.
func told(client flow.Addr, name string, server flow.Addr, at int64, ttl uint32) *flow.DNSAnswer {
	return &flow.DNSAnswer{
		Client: client, Version: 4, Time: noon + at*second, Question: name, QType: 1,
		Addresses: []flow.DNSAddress{{Addr: server, Version: 4, TTL: ttl}},
	}
}

// flowAt is one that begins, and ends, seconds after noon.
func flowAt(client, server flow.Addr, at int64) names.Query {
	return names.Query{Client: client, Server: server, Version: 4, First: noon + at*second, Last: noon + at*second}
}

func small() names.Config {
	return names.Config{MaxEntries: names.MinEntries, MaxPerClient: 32, Grace: 10 * time.Second}
}

// TestByTime: the answer that holds when the flow begins.
func TestByTime(t *testing.T) {
	me, server := addr("192.0.2.1"), addr("198.51.100.1")
	answers := []*flow.DNSAnswer{ // they may come in any order
		told(me, "b", server, 100, 60), told(me, "a", server, 0, 300), told(me, "c", server, 200, 20), told(me, "d", addr("198.51.100.2"), 0, 3000),
	}
	for at, want := range map[int64]string{
		-3: "", -2: "a", // by the clock of another machine
		0: "a", 99: "a", 100: "b", 170: "b", 171: "a", 199: "a", 200: "c", 230: "c",
		231: "a", // which the client still may have
		310: "a", 311: "",
	} {
		c := names.New(small()) // a lookup prolongs what it finds
		for _, a := range answers {
			c.Add("", a)
		}
		if got := c.Lookup("", flowAt(me, server, at)); got != want {
			t.Errorf("%d s: %q, want %q", at, got, want)
		}
		if s := c.Stats(); s.Entries != 4 || s.Names != 4 || s.Added != 4 {
			t.Errorf("%+v", s)
		}
	}
}

// A flow that goes on keeps its name, in every piece that the active timeout makes of it.
func TestLongFlow(t *testing.T) {
	c := names.New(small())
	me, server := addr("192.0.2.1"), addr("198.51.100.1")
	c.Add("", told(me, "a", server, 0, 5))
	for piece := range int64(100) {
		q := names.Query{Client: me, Server: server, Version: 4, First: noon + piece*60*second, Last: noon + (piece*60+59)*second}
		if got := c.Lookup("", q); got != "a" {
			t.Fatalf("piece %d: %q", piece, got)
		}
	}
	if got := c.Lookup("", flowAt(me, server, 6100)); got != "" {
		t.Errorf("long after: %q", got)
	}
}

// A name that is asked for again keeps one entry, unless another name came in between.
func TestRenewal(t *testing.T) {
	c := names.New(small())
	me, server := addr("192.0.2.1"), addr("198.51.100.1")
	for i := range int64(50) {
		c.Add("", told(me, "a", server, i*30, 30))
	}
	c.Add("", told(me, "a", server, -20, 30)) // late, and joined
	if s := c.Stats(); s.Entries != 1 || s.Renewed != 50 || c.Lookup("", flowAt(me, server, -20)) != "a" || c.Lookup("", flowAt(me, server, 1510)) != "a" {
		t.Errorf("%+v", s)
	}
	c.Add("", told(me, "b", server, 1500, 30))
	c.Add("", told(me, "a", server, 1510, 30))
	for at, want := range map[int64]string{1499: "a", 1505: "b", 1512: "a"} {
		if got := c.Lookup("", flowAt(me, server, at)); got != want {
			t.Errorf("%d s: %q, want %q", at, got, want)
		}
	}
}

// What one client was told, or what was forged for it, is no other client's business, nor another scope's.
func TestNobodyElses(t *testing.T) {
	c := names.New(small())
	me, you, server := addr("192.0.2.1"), addr("192.0.2.2"), addr("198.51.100.1")
	c.Add("site-1", told(me, "mine", server, 0, 60))
	c.Add("", told(you, "yours", server, 0, 60))
	mapped := flowAt(me, server, 1)
	mapped.Version = 6
	for name, c := range map[string]struct{ got, want string }{
		"the asker":         {c.Lookup("site-1", flowAt(me, server, 1)), "mine"},
		"another client":    {c.Lookup("site-1", flowAt(number(9), server, 1)), ""},
		"another scope":     {c.Lookup("site-2", flowAt(me, server, 1)), ""},
		"no scope":          {c.Lookup("", flowAt(me, server, 1)), ""},
		"told to all":       {c.Lookup("site-2", flowAt(you, server, 1)), "yours"},
		"the other way":     {c.Lookup("site-1", flowAt(server, me, 1)), ""},
		"another version":   {c.Lookup("site-1", mapped), ""},
		"of another server": {c.Lookup("site-1", flowAt(me, you, 1)), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
	failed := told(me, "failed", number(7), 0, 60)
	failed.RCode = 3
	before := c.Stats().Entries
	c.Add("", failed)
	if c.Stats().Entries != before {
		t.Error("an answer that failed is kept")
	}
}

// The far ends of time neither run over nor hold for ever by mistake.
func TestTimeRunsOut(t *testing.T) {
	c := names.New(small())
	a := told(number(1), "a", number(2), 0, flow.MaxDNSTTL)
	a.Time = flow.MaxTime
	c.Add("", a)
	if got := c.Lookup("", names.Query{Client: number(1), Server: number(2), Version: 4, First: flow.MaxTime, Last: flow.MaxTime}); got != "a" {
		t.Errorf("at the end of time: %q", got)
	}
	if got := c.Lookup("", names.Query{Client: number(1), Server: number(2), Version: 4}); got != "" {
		t.Errorf("at its beginning: %q", got)
	}
}

// One client that asks without end turns out its own answers only.
func TestHostileClient(t *testing.T) {
	c := names.New(small())
	for i := range 16 {
		c.Add("", told(number(1000+i), "kept", number(1), 0, 60))
	}
	hostile := number(77)
	for i := range 100_000 {
		c.Add("", told(hostile, fmt.Sprint("n", i), number(i), 0, 60))
	}
	for i := range 16 {
		if got := c.Lookup("", flowAt(number(1000+i), number(1), 1)); got != "kept" {
			t.Errorf("client %d lost its name: %q", i, got)
		}
	}
	s := c.Stats()
	if s.Entries != 16+32 || s.Names > 16+32 || s.Crowded != 100_000-32 || s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
	for i := range 1000 { // and as many names as it likes for one address
		c.Add("", told(hostile, fmt.Sprint("m", i), number(1), int64(i), 60))
	}
	if s := c.Stats(); s.Displaced != 1000-4 || s.Entries > 16+32 {
		t.Errorf("%+v", s)
	}
}

// The memory of many clients is bounded, too; what was used last stays.
func TestFull(t *testing.T) {
	c := names.New(small())
	for i := range 20_000 {
		c.Add("", told(number(i), fmt.Sprint("n", i), number(1), 0, 60))
		if got := c.Lookup("", flowAt(number(0), number(1), 1)); i%64 == 0 && got != "n0" {
			t.Fatalf("a name in use was lost after %d others", i)
		}
	}
	s := c.Stats()
	if s.Entries > names.MinEntries || s.Names != s.Entries || s.Evicted+s.Entries != 20_000 || s.Hits != 20_000 {
		t.Errorf("%+v", s)
	}
}

// Many goroutines at once, for the race detector.
func TestConcurrent(t *testing.T) {
	c := names.New(small())
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 5_000 {
				c.Add("", told(number(i%64), fmt.Sprint("n", i%100), number(i%200), int64(w), 60))
				c.Lookup("", flowAt(number(i%64), number(i%200), int64(w)))
				if i%512 == 0 {
					c.Stats()
				}
			}
		})
	}
	all.Wait()
	if s := c.Stats(); s.Added != 40_000 || s.Hits+s.Misses != 40_000 || s.Names > 100*16 {
		t.Errorf("%+v", s)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	c := names.New(small())
	a, q := told(number(1), "www.example.org", number(2), 0, 60), flowAt(number(1), number(2), 1)
	c.Add("edge-1", a)
	if n := testing.AllocsPerRun(100, func() {
		c.Add("edge-1", a)
		c.Lookup("edge-1", q)
		c.Lookup("edge-2", q)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConfig(t *testing.T) {
	if err := names.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*names.Config){
		"max_entries":    func(c *names.Config) { c.MaxEntries = 10 },
		"max_per_client": func(c *names.Config) { c.MaxPerClient = 0 },
		"grace":          func(c *names.Config) { c.Grace = -1 },
	} {
		c := names.DefaultConfig()
		spoil(&c)
		if err := c.Validate(); err == nil || err.Error()[:len(want)] != want {
			t.Errorf("%s: %v", want, err)
		}
	}
}
