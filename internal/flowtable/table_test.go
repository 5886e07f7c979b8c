package flowtable_test

import (
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
)

// defaults are the timers of the shipped configuration.
func defaults(flows int) flowtable.Config {
	return flowtable.Config{MaxFlows: flows, Active: 60 * time.Second, Inactive: 15 * time.Second, Linger: 2 * time.Second}
}

// past is a time at which nothing is due.
const past = math.MinInt64

// What is due when the table is flushed has ended by itself.
func TestFlushTellsWhatIsDue(t *testing.T) {
	const second = int64(time.Second)
	var got []flow.EndReason
	table, err := flowtable.New(defaults(8), func(r *flow.Record) { got = append(got, r.EndReason) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	packet := func(port uint16, at int64, flags uint16) flow.Packet {
		return flow.Packet{Key: flow.Key{Version: 4, Proto: flow.ProtoTCP, SrcPort: port}, Time: at, Bytes: 40, Packets: 1, TCPFlags: flags}
	}
	table.Account([]flow.Packet{
		packet(1, 0, flow.ACK), packet(2, 10*second, flow.FIN), packet(3, 10*second, flow.RST), packet(4, 14*second, flow.ACK),
	}, 14*second)
	table.Flush(15*second, flow.EndEOF)
	slices.Sort(got)
	if want := []flow.EndReason{flow.EndIdle, flow.EndFIN, flow.EndRST, flow.EndEOF}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// rig is a table under test with the records that left it.
type rig struct {
	*flowtable.Table
	t       *testing.T
	records []flow.Record
}

func newTable(t *testing.T, cfg flowtable.Config) *rig {
	t.Helper()
	b := &rig{t: t}
	table, err := flowtable.New(cfg, func(r *flow.Record) { b.records = append(b.records, *r) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	b.Table = table
	return b
}

// ns is a time given in seconds.
func ns(seconds float64) int64 { return int64(seconds * 1e9) }

// see accounts a packet of the flow with that number.
func (b *rig) see(number uint64, seconds float64, flags uint16) {
	p := packetOf(number, ns(seconds))
	p.TCPFlags = flags
	b.Account([]flow.Packet{p}, p.Time)
}

// want checks what left the table since the last call: "reason packets first-last", times in seconds.
func (b *rig) want(lines ...string) {
	b.t.Helper()
	var got []string
	for _, r := range b.records {
		seconds := func(at int64) string { return strconv.FormatFloat(float64(at)/1e9, 'f', -1, 64) }
		got = append(got, r.EndReason.String()+" "+strconv.FormatUint(r.Packets, 10)+" "+seconds(r.First)+"-"+seconds(r.Last))
	}
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		b.t.Errorf("got  %q\nwant %q", got, lines)
	}
	b.records = b.records[:0]
}

func TestConfigIsChecked(t *testing.T) {
	for name, spoil := range map[string]func(*flowtable.Config){
		"no flows":          func(c *flowtable.Config) { c.MaxFlows = 0 },
		"negative flows":    func(c *flowtable.Config) { c.MaxFlows = -1 },
		"too many flows":    func(c *flowtable.Config) { c.MaxFlows = 1<<28 + 1 },
		"no active":         func(c *flowtable.Config) { c.Active = 0 },
		"no inactive":       func(c *flowtable.Config) { c.Inactive = 0 },
		"negative linger":   func(c *flowtable.Config) { c.Linger = -1 },
		"boundless active":  func(c *flowtable.Config) { c.Active = 1<<60 + 1 },
		"boundless timeout": func(c *flowtable.Config) { c.Inactive = 1<<63 - 1 },
	} {
		cfg := defaults(10)
		spoil(&cfg)
		if _, err := flowtable.New(cfg, nil); !errors.Is(err, flowtable.ErrConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRecordHasWhatThePacketsSaid(t *testing.T) {
	b := newTable(t, defaults(10))
	p := flow.Packet{
		Key: flow.Key{
			Src: flow.Addr{Hi: 1, Lo: 2}, Dst: flow.Addr{Hi: 3, Lo: 4}, IfIndex: 0xfffffffe, SrcPort: 5, DstPort: 0xfffd,
			VLAN: flow.VLANFromTCI(6), VLANInner: flow.VLANFromTCI(0xfff), Proto: 0xff, ToS: 0xfe, Version: 6,
		},
		Time: 100, Bytes: 1 << 33, Packets: 70_000, TCPFlags: flow.SYN | flow.AE, VLAN: flow.VLANFromTCI(7), VLANInner: flow.VLANFromTCI(8),
	}
	second := p
	second.Time, second.Bytes, second.Packets, second.TCPFlags = 90, 5, 1, flow.SYN|flow.ACK|flow.CWR
	second.VLAN, second.VLANInner = 0, flow.VLANFromTCI(9)
	b.Account([]flow.Packet{p, second}, 100)
	b.Flush(past, flow.EndShutdown)
	want := flow.Record{
		Key: p.Key, Bytes: 1<<33 + 5, Packets: 70_001, First: 90, Last: 100, TCPFlags: flow.SYN | flow.ACK | flow.CWR | flow.AE,
		EndReason: flow.EndShutdown, Handshake: flow.SawSYN | flow.SawSYNACK, VLAN: p.VLAN, VLANInner: p.VLANInner,
	}
	if len(b.records) != 1 || b.records[0] != want {
		t.Errorf("got  %+v\nwant %+v", b.records, want)
	}
}

// TestCountersNearTheirWidth: a record that comes near flow.MaxCount leaves as a piece, and nothing is lost.
func TestCountersNearTheirWidth(t *testing.T) {
	b := newTable(t, defaults(10))
	p := packetOf(1, 0)
	p.Bytes, p.Packets = 1<<54-1, 1<<32-1
	const packets = 1000
	for range packets {
		b.Account([]flow.Packet{p}, 0)
	}
	b.Flush(past, flow.EndEOF)
	var sum flow.Record
	for _, r := range b.records {
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		sum.Packets += r.Packets
		sum.Bytes += r.Bytes
	}
	if sum.Packets != packets*(1<<32-1) || sum.Bytes != packets*(1<<54-1) {
		t.Errorf("%d packets, %d bytes came out", sum.Packets, sum.Bytes)
	}
	p.Bytes = 1
	b.records = b.records[:0]
	for range 1<<14 + 1 {
		b.Account([]flow.Packet{p}, 0)
	}
	b.want("active 70373039128575 0-0")
}

// TestEveryKeyFieldCounts: two packets that differ in one field of the key are two flows.
func TestEveryKeyFieldCounts(t *testing.T) {
	b := newTable(t, defaults(100))
	batch := []flow.Packet{packetOf(1, 0)}
	for _, change := range []func(*flow.Key){
		func(k *flow.Key) { k.Src.Hi ^= 1 << 63 }, func(k *flow.Key) { k.Src.Lo ^= 1 }, func(k *flow.Key) { k.Dst.Hi ^= 1 },
		func(k *flow.Key) { k.Dst.Lo ^= 1 << 63 }, func(k *flow.Key) { k.IfIndex ^= 1 << 31 }, func(k *flow.Key) { k.SrcPort ^= 1 },
		func(k *flow.Key) { k.DstPort ^= 1 << 15 }, func(k *flow.Key) { k.VLAN ^= 1 }, func(k *flow.Key) { k.VLANInner ^= 1 << 15 },
		func(k *flow.Key) { k.Proto ^= 1 }, func(k *flow.Key) { k.ToS ^= 1 << 7 }, func(k *flow.Key) { k.Version ^= 2 },
		func(k *flow.Key) { k.Src, k.Dst = k.Dst, k.Src }, func(k *flow.Key) { k.SrcPort, k.DstPort = k.DstPort, k.SrcPort },
	} {
		p := packetOf(1, 0)
		change(&p.Key)
		batch = append(batch, p)
	}
	b.Account(batch, 0)
	b.Account(batch, 0)
	if b.Len() != len(batch) {
		t.Errorf("%d flows, want %d", b.Len(), len(batch))
	}
}

func TestFlushLeavesAnEmptyTableThatGoesOn(t *testing.T) {
	b := newTable(t, defaults(3))
	for round := range 3 {
		at := float64(round)
		for n := range uint64(5) {
			b.see(n, at, flow.ACK)
		}
		b.Flush(past, flow.EndEOF)
		if b.Len() != 0 || len(b.records) != 5 {
			t.Fatalf("round %d: holding %d flows, %d records", round, b.Len(), len(b.records))
		}
		b.records = b.records[:0]
		b.Flush(past, flow.EndEOF)
		b.want()
	}
}

func TestStats(t *testing.T) {
	b := newTable(t, defaults(2))
	b.see(1, 0, flow.ACK)
	b.see(1, 1, flow.ACK)
	b.see(1, 0.5, flow.ACK)
	b.see(2, 1, flow.RST)
	b.see(3, 2, flow.ACK)
	b.Flush(past, flow.EndShutdown)
	b.see(4, 3, flow.ACK)
	want := flowtable.Stats{
		Flows: 1, Created: 4, Packets: 6, Bytes: 4800, Records: 3, RecordPackets: 5, RecordBytes: 4000,
		Evictions: 1, NegativeSpans: 1, LongestProbe: 1,
	}
	want.Emitted[flow.EndFull], want.Emitted[flow.EndShutdown] = 1, 2
	if got := b.Stats(); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error("closed again:", err)
	}
	if got := b.Stats(); got != want {
		t.Errorf("after Close: %+v", got)
	}
}

// TestStatsFromAnotherGoroutine is for the race detector.
func TestStatsFromAnotherGoroutine(t *testing.T) {
	b := newTable(t, defaults(100))
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for last := uint64(0); ; {
			s := b.Stats()
			if s.Packets < last {
				t.Error("packets go backwards")
			}
			last = s.Packets
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for n := range uint64(10_000) {
		b.see(n, float64(n)/100, flow.ACK)
		b.Expire(ns(float64(n) / 100))
	}
	b.Flush(past, flow.EndShutdown)
	close(done)
	wg.Wait()
}

func TestNothingAllocatesPerPacket(t *testing.T) {
	table, err := flowtable.New(defaults(1000), func(*flow.Record) {})
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]flow.Packet, 64)
	var number uint64
	var now int64
	fill := func(step uint64, flags uint16) {
		for i := range batch {
			number += step
			now += 1e6
			batch[i] = packetOf(number, now)
			batch[i].TCPFlags = flags
		}
	}
	for name, run := range map[string]func(){
		"one flow":          func() { fill(0, flow.ACK); table.Account(batch, now) },
		"new flows":         func() { fill(1, flow.ACK); table.Account(batch, now) },
		"short flows":       func() { fill(1, flow.FIN); table.Account(batch, now); table.Expire(now) },
		"all out of a full": func() { fill(1, flow.ACK); table.Account(batch, now); table.Flush(past, flow.EndShutdown) },
		"sweep":             func() { fill(1, flow.ACK); table.Account(batch, now); now += 20e9; table.Expire(now) },
	} {
		if got := testing.AllocsPerRun(200, run); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
}

func TestMemoryPerFlow(t *testing.T) {
	if got := flowtable.BytesPerFlow(); got > 128 {
		t.Errorf("a flow takes %.1f bytes", got)
	}
}

// resident is the memory of this process that is resident, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal("no /proc to read the resident memory from:", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestMemoryIsResidentOnceUsed: a big table that is idle costs next to nothing, a full one no more than it must.
func TestMemoryIsResidentOnceUsed(t *testing.T) {
	const flows = 1 << 20
	before := resident(t)
	table, err := flowtable.New(defaults(flows), func(*flow.Record) {})
	if err != nil {
		t.Fatal(err)
	}
	if grown := resident(t) - before; grown > 8<<20 {
		t.Errorf("an unused table of %d flows takes %d MiB", flows, grown>>20)
	}
	batch := make([]flow.Packet, 64)
	for n := 0; n < flows; n += len(batch) {
		for i := range batch {
			batch[i] = packetOf(uint64(n+i), 0)
		}
		table.Account(batch, 0)
	}
	if table.Len() != flows || table.Stats().Evictions != 0 {
		t.Errorf("%d flows held, %d evicted", table.Len(), table.Stats().Evictions)
	}
	grown := resident(t) - before
	t.Logf("a full table of %d flows takes %d MiB", flows, grown>>20)
	if grown > 136<<20 {
		t.Errorf("a full table of %d flows takes %d MiB", flows, grown>>20)
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
}
