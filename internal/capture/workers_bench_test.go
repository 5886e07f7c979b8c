package capture_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
	"flowsensor/internal/testnet"
)

// BenchmarkBlocks is the block walker alone, over frames that lie in memory, with the kernel's word on segments and
// without.
func BenchmarkBlocks(b *testing.B) {
	const frames = 4096 // in the second-level cache
	ring := capture.NewMemoryRing(frames, func(i int) []byte { return wrap(udp4(packet4{sport: uint16(i)}, make([]byte, 60))) })
	sum := int64(0)
	visit := func(f *frame.Frame) { sum += f.Time + int64(f.Data[12]) + int64(f.SegmentSize) }
	best := [2]float64{math.Inf(1), math.Inf(1)}
	for b.Loop() {
		for i, segments := range []bool{false, true} {
			ring.Describe(segments)
			start := time.Now()
			ring.Walk(visit)
			best[i] = min(best[i], float64(time.Since(start))/frames)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(best[0], "plain-ns/frame")
	b.ReportMetric(best[1], "segments-ns/frame")
}

// BenchmarkKernelRing is the whole way of a packet from a ring that the kernel has filled to its flow: of small frames, and of
// as many small and large ones as usual. The ring is full before the clock runs, the processor time of the best turn counts.
func BenchmarkKernelRing(b *testing.B) {
	for name, lengths := range map[string][]int{"small": {0}, "mixed": {0, 1400, 0, 1400, 300, 1400, 0, 1400, 0, 1400, 700}} {
		b.Run(name, func(b *testing.B) {
			l := testnet.NewLink(b, testnet.Config{})
			ring := quietTap(b, l.Capture, capture.Config{Interface: "eth0", RingSize: 64 << 20}).Ring(0)
			frames, out := make([][]byte, 50000), sender(b, l.Generator)
			for i := range frames {
				frames[i] = append(numbered(l.Generator, l.Capture, uint32(i)), make([]byte, lengths[i%len(lengths)])...)
			}
			w, best := newLane(b, 1000, 0, 1), time.Duration(math.MaxInt64)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for b.Loop() {
				send(b, out, frames...)
				time.Sleep(2 * capture.DefaultBlockTimeout)
				start := threadTime(b)
				for walked := 0; walked < len(frames); {
					n, err := ring.Walk(w.visit)
					if err != nil {
						b.Fatal(err)
					}
					walked += n
				}
				best = min(best, threadTime(b)-start)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(best)/float64(len(frames)), "ns/packet")
		})
	}
}

// lane is what a worker has: a ring, a decoder and a table.
type lane struct {
	ring    *capture.MemoryRing
	frames  int
	decoder *packet.Decoder
	table   *flowtable.Table
	batch   [64]flow.Packet
	n       int
	now     int64 // ns, of all packets of a turn
}

// newLane makes the worker that gets every workers-th of the flows.
func newLane(b *testing.B, flows, worker, workers int) *lane {
	b.Helper()
	table, err := flowtable.New(flowtable.Config{
		MaxFlows: 1 << 20, Active: time.Hour, Inactive: time.Hour, Linger: time.Second,
	}, func(*flow.Record) {})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = table.Close() })
	l := &lane{frames: max(flows, 1<<18) / workers, decoder: packet.NewDecoder(packet.Config{}), table: table}
	step := flows*6/10 + 1 // so that neighbours in the ring are none in the table
	l.ring = capture.NewMemoryRing(l.frames, func(i int) []byte {
		number := uint32((i*workers + worker) * step % flows)
		p := packet4{proto: flow.ProtoTCP, dst: collector4, sport: uint16(number), dport: 443}
		binary.BigEndian.PutUint32(p.src[:], 0x0a000000|number>>16)
		ip := udp4(p, make([]byte, 72))
		ip[32], ip[33] = 0x50, 0x10 // a header without options, ACK
		return wrap(ip)
	})
	return l
}

func (l *lane) visit(f *frame.Frame) {
	f.Time = l.now // a packet before one of its flow's is a rare case, and a dear one
	if l.decoder.Decode(&l.batch[l.n], f) != packet.OK {
		return
	}
	if l.n++; l.n == len(l.batch) {
		l.table.Account(l.batch[:], f.Time)
		l.table.Expire(f.Time)
		l.n = 0
	}
}

// walk goes once through the ring, and gives the processor time that it took.
func (l *lane) walk(tb testing.TB) time.Duration {
	tb.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.now += int64(time.Second)
	start := threadTime(tb)
	l.ring.Walk(l.visit)
	return threadTime(tb) - start
}

// BenchmarkWorkers is the whole way of a packet from ring blocks that lie in memory to its flow, and how much faster two
// workers get through the same packets than one: by the clock, and by the processor time of the longer of the two, which
// is the same on a machine without other work. The best of all turns counts.
func BenchmarkWorkers(b *testing.B) {
	for _, flows := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			if runtime.GOMAXPROCS(0) < 2 {
				b.Skip("needs two processors")
			}
			one := newLane(b, flows, 0, 1)
			two := []*lane{newLane(b, flows, 0, 2), newLane(b, flows, 1, 2)}
			alone, together := never, never
			for b.Loop() {
				alone = alone.better(race(b, one))
				together = together.better(race(b, two...))
			}
			if n := int(one.table.Stats().Flows); n < min(flows, one.frames)*99/100 {
				b.Errorf("%d flows", n)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(alone.cpu)/float64(one.frames), "ns/packet")
			b.ReportMetric(float64(alone.clock)/float64(together.clock), "speedup-by-clock")
			b.ReportMetric(float64(alone.cpu)/float64(together.cpu), "speedup-by-cpu")
		})
	}
}

// lap is how long workers took, by the clock and by the processor time of the longest of them.
type lap struct{ clock, cpu time.Duration }

var never = lap{math.MaxInt64, math.MaxInt64}

func (l lap) better(o lap) lap { return lap{min(l.clock, o.clock), min(l.cpu, o.cpu)} }

// race lets workers walk at the same time.
func race(b *testing.B, lanes ...*lane) lap {
	b.Helper()
	spent, start := make([]time.Duration, len(lanes)), time.Now()
	var workers sync.WaitGroup
	for i, l := range lanes {
		workers.Go(func() { spent[i] = l.walk(b) })
	}
	workers.Wait()
	return lap{time.Since(start), slices.Max(spent)}
}
