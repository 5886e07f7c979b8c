package flowtable_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
)

// script plays what a string of bytes says, on a table and on the reference, and compares them all along.
type script struct {
	t     *testing.T
	data  []byte
	cfg   flowtable.Config
	table *flowtable.Table
	model *reference // nil where only sums are compared

	now            int64
	batch          []flow.Packet
	packets, bytes uint64 // accounted
	records        map[flow.Record]int
	out            [2]uint64 // packets and bytes of the records emitted
}

// play runs a script. Its first byte chooses between two ways: exact, where table and reference must give the same
// records, and full, where the table is too small and only the sums must agree.
func play(t *testing.T, data []byte) {
	t.Helper()
	s := &script{t: t, data: data, records: map[flow.Record]int{}}
	mode := s.byte()
	timers := [...]time.Duration{1, 3, time.Second, 2 * time.Second, 15 * time.Second, 60 * time.Second, 30 * time.Minute, 1 << 60}
	s.cfg = flowtable.Config{MaxFlows: 20, Active: timers[s.byte()%8], Inactive: timers[s.byte()%8], Linger: timers[s.byte()%8] - 1}
	if mode&1 != 0 {
		s.cfg.MaxFlows = 1 + int(mode>>1)%16
	} else {
		s.model = newReference(s.cfg)
	}
	var err error
	if s.table, err = flowtable.New(s.cfg, s.emitted); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.table.Close(); err != nil {
			t.Error(err)
		}
	}()
	for len(s.data) > 0 {
		s.step()
	}
	s.account()
	s.flush(flow.EndEOF)
	if s.out != [2]uint64{s.packets, s.bytes} || s.table.Len() != 0 {
		t.Errorf("accounted %d packets and %d bytes, emitted %v, holding %d flows", s.packets, s.bytes, s.out, s.table.Len())
	}
	if slots, overflow := s.table.Indexed(); slots != 0 || overflow != 0 {
		t.Errorf("the index of an empty table has %d slots used, %d displacements", slots, overflow)
	}
}

func (s *script) emitted(r *flow.Record) {
	if r.Packets == 0 || r.First > r.Last || !r.EndReason.Valid() {
		s.t.Errorf("bad record %+v", *r)
	}
	s.records[*r]++
	s.out[0] += r.Packets
	s.out[1] += r.Bytes
}

func (s *script) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

// step plays one instruction: the clock moves, then a packet comes or something happens.
func (s *script) step() {
	op := s.byte()
	s.now = s.moved(s.now, s.byte())
	switch op >> 4 {
	default:
		s.packet(op)
	case 12, 13:
		s.account()
	case 14:
		s.expire()
	case 15:
		if op&7 == 0 {
			s.flush(flow.EndShutdown)
		}
		s.expire()
	}
	if len(s.batch) >= 70 {
		s.account()
	}
}

// moved gives a time some way from another, near one of the timers' edges or wildly off.
func (s *script) moved(at int64, how byte) int64 {
	edges := [...]time.Duration{0, 0, 1, time.Millisecond, s.cfg.Linger, s.cfg.Inactive, s.cfg.Active, s.cfg.Active / 2}
	by := int64(edges[how&7]) + int64(how>>3&3) - 1
	switch how >> 5 {
	case 5:
		return at - by // back a little
	case 6:
		return at - 3*by // back beyond the timers, or not; wraps in the extremes
	case 7:
		return [...]int64{0, math.MaxInt64, math.MinInt64, at ^ 1<<62, -at, 1 << 32 * 1e9, at + 1e18, -1}[how&7]
	default:
		return at + by
	}
}

func (s *script) packet(op byte) {
	more := s.byte()
	flags := [...]uint16{
		flow.ACK, flow.ACK, flow.ACK, flow.SYN, flow.SYN | flow.ACK, flow.FIN | flow.ACK, flow.RST, flow.SYN | flow.FIN,
	}[more&7]
	p := flow.Packet{
		Key:  flow.Key{Src: flow.Addr{Lo: uint64(op & 15)}, SrcPort: 1, VLANInner: flow.VLAN(op & 1), Proto: 6, ToS: 0xff, Version: 4},
		Time: s.now, Bytes: uint64(more) << (more & 40), Packets: 1 + uint32(more>>5)*0x7fff, TCPFlags: flags, VLAN: flow.VLAN(more),
	}
	if more>>3 == 31 {
		p.Packets = math.MaxUint32
	}
	s.batch = append(s.batch, p)
}

// account hands over the packets that wait. The time of the call is mostly that of the last packet.
func (s *script) account() {
	now := s.now
	if len(s.batch)&7 == 7 {
		now = s.moved(now, s.byte())
	}
	for i := range s.batch {
		s.packets += uint64(s.batch[i].Packets)
		s.bytes += s.batch[i].Bytes
		if s.model != nil {
			s.model.account(&s.batch[i], now)
		}
	}
	s.table.Account(s.batch, now)
	s.batch = s.batch[:0]
	s.compare("account")
}

func (s *script) expire() {
	s.account()
	now := s.now
	if s.model != nil {
		// A flow left in the future by the clock has rules that depend on the sweep, see TestClockSetBackStrandsNoFlow.
		horizon := max(s.cfg.Active, s.cfg.Inactive, s.cfg.Linger)
		if latest := s.model.latest(); latest > math.MinInt64+int64(horizon) {
			now = max(now, latest-int64(horizon))
		}
		s.model.expire(now)
	}
	s.table.Lap(now)
	s.compare("expire")
}

func (s *script) flush(reason flow.EndReason) {
	s.account()
	if s.model != nil {
		s.model.flush(reason)
	}
	s.table.Flush(reason)
	s.compare("flush")
}

func (s *script) compare(what string) {
	s.t.Helper()
	stats := s.table.Stats()
	if stats.Packets != s.packets || stats.Bytes != s.bytes || stats.RecordPackets != s.out[0] || stats.RecordBytes != s.out[1] {
		s.t.Fatalf("%s: stats %+v, accounted %d packets, %d bytes, emitted %v", what, stats, s.packets, s.bytes, s.out)
	}
	if slots, _ := s.table.Indexed(); slots != s.table.Len() {
		s.t.Fatalf("%s: %d flows, %d in the index", what, s.table.Len(), slots)
	}
	if s.model == nil {
		return
	}
	want := map[flow.Record]int{}
	for _, r := range s.model.records {
		want[r]++
	}
	if !maps.Equal(s.records, want) {
		s.t.Fatalf("%s at %d: %s", what, s.now, difference(s.records, want))
	}
	if s.table.Len() != len(s.model.flows) || stats.Created != s.model.created || stats.NegativeSpans != s.model.back {
		s.t.Fatalf("%s at %d: %d flows, %d created, %d backwards; want %d, %d, %d", what, s.now,
			s.table.Len(), stats.Created, stats.NegativeSpans, len(s.model.flows), s.model.created, s.model.back)
	}
	clear(s.records)
	s.model.records = s.model.records[:0]
}

func difference(got, want map[flow.Record]int) string {
	var text string
	for r, n := range got {
		if n != want[r] {
			text += fmt.Sprintf("\ngot  %d x %+v", n, r)
		}
	}
	for r, n := range want {
		if n != got[r] {
			text += fmt.Sprintf("\nwant %d x %+v", n, r)
		}
	}
	return text
}

func TestRandomScripts(t *testing.T) {
	scripts := 3000
	if testing.Short() {
		scripts = 300
	}
	random := rand.NewChaCha8([32]byte{1})
	for n := range scripts {
		data := make([]byte, 4+n%700)
		_, _ = random.Read(data)
		play(t, data)
		if t.Failed() {
			t.Fatalf("script %d: %x", n, data)
		}
	}
}

// TestSweepOnlyMattersForWhen: with a clock that goes forward, the records are a function of the packets alone; the sweep
// decides when they leave and nothing else.
func TestSweepOnlyMattersForWhen(t *testing.T) {
	cfg := flowtable.Config{MaxFlows: 5000, Active: 60 * time.Second, Inactive: 15 * time.Second, Linger: 2 * time.Second}
	run := func(expire func(*flowtable.Table, int64)) map[flow.Record]int {
		records := map[flow.Record]int{}
		table, err := flowtable.New(cfg, func(r *flow.Record) {
			record := *r
			record.EndReason = 0 // idle or eof for the last ones, by chance
			records[record]++
		})
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(3, 4))
		batch := make([]flow.Packet, 0, 100)
		now := int64(0)
		for range 3000 {
			batch = batch[:0]
			for range random.IntN(100) {
				now += random.Int64N(int64(4 * time.Millisecond))
				p := packetOf(random.Uint64N(1+random.Uint64N(4000)), now)
				p.TCPFlags = [...]uint16{flow.ACK, flow.ACK, flow.SYN, flow.FIN, flow.PSH, flow.ACK, flow.RST, flow.ACK}[random.Uint64N(8)]
				batch = append(batch, p)
			}
			table.Account(batch, now)
			expire(table, now)
		}
		table.Flush(flow.EndEOF)
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		return records
	}
	never := run(func(*flowtable.Table, int64) {})
	if len(never) < 10_000 {
		t.Fatalf("only %d records", len(never))
	}
	for name, expire := range map[string]func(*flowtable.Table, int64){
		"paced": (*flowtable.Table).Expire, "laps": (*flowtable.Table).Lap,
	} {
		if got := run(expire); !maps.Equal(got, never) {
			t.Errorf("%s: %s", name, difference(got, never))
		}
	}
}
