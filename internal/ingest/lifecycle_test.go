package ingest_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
)

func accept(*flow.Batch) ingest.Verdict { return ingest.Accepted }

// Run ends with its context, and what stood in the sockets by then is taken.
func TestRunDrains(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := listen(t, ingest.Config{Processors: 2}, edge.sensor())
	const sent = 150 // more than one read takes
	conn := c.dial()
	for i := range sent {
		send(t, conn, edge.flows(record(i)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	if err := c.Run(ctx, c.sink); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Run took %v to end", took)
	}
	c.settle(sent)
	if n := len(c.batches()); n != sent {
		t.Errorf("%d batches of %d that were queued", n, sent)
	}
}

// A stop in mid-traffic is prompt, on a silent socket too.
func TestRunEnds(t *testing.T) {
	for name, stop := range map[string]func(*collector, context.CancelFunc) error{
		"cancel": func(_ *collector, cancel context.CancelFunc) error { cancel(); return nil },
		"close":  func(c *collector, _ context.CancelFunc) error { return c.Close() },
		"both": func(c *collector, cancel context.CancelFunc) error {
			go cancel()
			return c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := listen(t, ingest.Config{Processors: 2})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx, accept) }()
			send(t, c.dial(), []byte("x"))
			c.settle(1)
			if err := stop(c, cancel); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(500 * time.Millisecond):
				t.Fatal("Run goes on")
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	c := listen(t, ingest.Config{})
	if err := c.Run(context.Background(), nil); !errors.Is(err, ingest.ErrNoSink) {
		t.Errorf("no sink: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(context.Background(), accept); err != nil {
		t.Errorf("after Close: %v", err)
	}
	if err := c.Run(context.Background(), accept); !errors.Is(err, ingest.ErrRan) {
		t.Errorf("second Run: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// Readers show that they live, on a silent socket too.
func TestTurns(t *testing.T) {
	c := start(t, ingest.Config{Processors: 2})
	before := c.Stats()
	eventually(t, func() bool {
		for i, s := range c.Stats().Sockets {
			if s.Turns < before.Sockets[i].Turns+2 {
				return false
			}
		}
		return true
	})
}

// No descriptor outlives Close, nor a Listen that failed half-way.
func TestNoDescriptorLeaks(t *testing.T) {
	needIPv6(t)
	edge := newAgent(t, "edge-1")
	taken := listen(t, ingest.Config{Processors: 1})
	before := descriptors(t)
	for range 20 {
		c := listen(t, ingest.Config{Processors: 3, Listen: []netip.AddrPort{
			netip.AddrPortFrom(loopback4, 0), netip.AddrPortFrom(loopback6, 0),
		}}, edge.sensor())
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := c.Run(ctx, accept); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := ingest.Listen(ingest.Config{Processors: 3, Listen: []netip.AddrPort{
			netip.AddrPortFrom(loopback4, 0), taken.Addrs()[0],
		}}, opener(t), new(logBuffer).logger())
		if err == nil {
			t.Fatal("address in use was bound")
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Keys are replaced under load, in the order that the contract gives, without one refusal.
func TestRotationUnderLoad(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{Processors: 2}, edge.sensor())
	conn := c.dial()
	var sent uint64
	burst := func() {
		for range 20 {
			send(t, conn, edge.flows(record(1)))
			sent++
		}
	}
	for range 20 {
		old := edge.keys[0]
		next := newKey(t)
		burst()
		c.SetOpener(opener(t, seal.Sensor{ID: edge.id, Keys: []seal.Key{next, old}}))
		burst() // still the old key
		edge.keys = []seal.Key{next}
		burst()
		c.settle(sent) // what is in flight under the old key must be in before that key goes
		c.SetOpener(opener(t, edge.sensor()))
		burst()
	}
	st := c.settle(sent)
	if st.Outcomes[ingest.ReasonAccepted] != sent || c.sensor("edge-1").Missing != 0 {
		t.Errorf("of %d: %s", sent, named(st.Outcomes))
	}
}

// What was seen before a reload stays seen, and what a sensor sent stays counted; a sensor that is gone is refused.
func TestReload(t *testing.T) {
	edge, other := newAgent(t, "edge-1"), newAgent(t, "core-1")
	c := start(t, ingest.Config{}, edge.sensor(), other.sensor())
	conn := c.dial()
	d := edge.flows(record(1))
	send(t, conn, d, other.flows(record(1)))
	c.settle(2)
	old := edge.keys[0]
	edge.keys = []seal.Key{newKey(t)}
	c.SetOpener(opener(t, seal.Sensor{ID: edge.id, Keys: []seal.Key{edge.keys[0], old}}))
	send(t, conn, d, edge.resend(record(1)), other.flows(record(1)))
	st := c.settle(5)
	if st.Outcomes[ingest.ReasonReplayed] != 1 || st.Outcomes[ingest.ReasonDuplicate] != 1 ||
		st.Outcomes[ingest.ReasonUnknownID] != 1 || st.Outcomes[ingest.ReasonAccepted] != 2 {
		t.Errorf("%s", named(st.Outcomes))
	}
	if len(st.Sensors) != 1 || st.Sensors[0].Datagrams != 3 || st.Sensors[0].KeyIndex != 0 {
		t.Errorf("sensors %+v", st.Sensors)
	}
	if st.Accepted.Batches != 2 {
		t.Error("what the removed sensor sent is no longer in the sum")
	}
	send(t, conn, func() []byte { edge.keys[0] = old; return edge.flows(record(2)) }())
	c.settle(6)
	if s := c.sensor("edge-1"); s.KeyIndex != 1 {
		t.Error("the use of the old key does not show")
	}
}

// Many sensors with many boots each take bounded memory.
func TestMemoryOfManySensors(t *testing.T) {
	const count = 1000
	before := heap()
	agents := make([]*agent, count)
	sensors := make([]seal.Sensor, count)
	for i := range agents {
		agents[i] = newAgent(t, "s"+strconv.Itoa(i))
		sensors[i] = agents[i].sensor()
	}
	c := listen(t, ingest.Config{Processors: 1}, sensors...)
	c.run()
	conn := c.dial()
	var sent uint64
	for boot := range uint64(10) {
		for _, a := range agents {
			a.boot, a.tx, a.seq = boot+1, 5000*boot, 200*boot
			send(t, conn, a.flows(record(1)))
			if sent++; sent%200 == 0 {
				c.settle(sent)
			}
		}
	}
	st := c.settle(sent)
	if st.Outcomes[ingest.ReasonAccepted] != sent {
		t.Fatalf("%s", named(st.Outcomes))
	}
	c.mu.Lock()
	c.taken = nil
	c.mu.Unlock()
	grown := heap() - before
	t.Logf("%d sensors: %d KiB", count, grown>>10)
	if grown > 32<<20 {
		t.Errorf("%d sensors take %d MiB", count, grown>>20)
	}
	runtime.KeepAlive(agents)
}

func heap() int64 {
	for range 3 { // what pools hold goes in the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
