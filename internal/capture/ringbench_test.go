package capture

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// BenchmarkRing is a worker's way from the blocks of a ring in plain memory, filled before, to the flows: what a packet costs
// without the kernel. With two workers each has a ring and a table of its own, and a packet's time is what both took together.
func BenchmarkRing(b *testing.B) {
	for _, flows := range []int{1_000, 100_000, 1_000_000} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("flows=%d/workers=%d", flows, workers), func(b *testing.B) {
				if workers > runtime.GOMAXPROCS(0) {
					b.Skip("needs a core for each worker")
				}
				benchmarkRing(b, flows, workers)
			})
		}
	}
}

func benchmarkRing(b *testing.B, flows, workers int) {
	b.Helper()
	all := make([]*ringWorker, workers)
	for i := range all {
		all[i] = newRingWorker(b, flows, uint64(i))
		all[i].lap(b) // until all flows are in the table
	}
	var wall, spent time.Duration
	packets := 0
	b.ReportAllocs()
	for b.Loop() {
		var done sync.WaitGroup
		times := make([]time.Duration, workers)
		start := time.Now()
		for i, w := range all {
			done.Go(func() { times[i] = w.lap(b) })
		}
		done.Wait()
		wall += time.Since(start)
		for i := range all {
			spent += times[i]
			packets += all[i].packets
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(packets), "cpu-ns/packet")
	b.ReportMetric(float64(packets)/wall.Seconds()/1e6, "Mpackets/s")
}

// ringWorker does what the sensor's does, less the clock.
type ringWorker struct {
	blocks  blocks
	frame   frame.Frame
	decoder *packet.Decoder
	table   *flowtable.Table
	batch   [64]flow.Packet
	n       int
	packets int   // in the ring
	at      int64 // ns, of the lap
}

// Sizes of the ring: every flow comes up in a lap, but for few.
const (
	benchBlock  = 64 << 10
	benchFrame  = 68
	benchBlocks = 64
)

func newRingWorker(b *testing.B, flows int, seed uint64) *ringWorker {
	b.Helper()
	w := &ringWorker{decoder: packet.NewDecoder(packet.Config{})}
	table, err := flowtable.New(flowtable.Config{
		MaxFlows: max(1<<20, flows), Active: time.Minute, Inactive: 15 * time.Second, Linger: 2 * time.Second,
	}, func(*flow.Record) {})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = table.Close() })
	w.table = table
	perBlock := (benchBlock - 48) / 160
	number := max(benchBlocks, 2*flows/perBlock)
	w.blocks = blocks{mem: memory(number * benchBlock), size: benchBlock}
	rng := rand.New(rand.NewPCG(seed, 1))
	fakes := make([]fakePacket, perBlock)
	for at := 0; at < len(w.blocks.mem); at += benchBlock {
		for i := range fakes {
			fakes[i] = fakePacket{data: benchPacket(rng.IntN(flows)), len: benchFrame}
		}
		putBlock(w.blocks.mem[at:at+benchBlock], unix.TP_STATUS_USER, fakes)
		w.packets += perBlock
	}
	w.frame.Link = frame.Ethernet
	return w
}

// benchPacket is a small TCP segment of a flow.
func benchPacket(number int) []byte {
	p := make([]byte, benchFrame)
	p[12], p[14], p[17], p[23] = 0x08, 0x45, benchFrame-14, flow.ProtoTCP
	binary.BigEndian.PutUint32(p[26:], 10<<24|uint32(number))
	binary.BigEndian.PutUint32(p[30:], 0xc6336401)
	binary.BigEndian.PutUint16(p[34:], uint16(number))
	binary.BigEndian.PutUint16(p[36:], 443)
	p[46], p[47] = 0x50, 0x10
	return p
}

// lap walks the ring once and makes it full again; it gives the processor time of the walk.
func (w *ringWorker) lap(b *testing.B) time.Duration {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w.at += int64(time.Second)
	visit := w.visit
	start := threadTime(b)
	for range len(w.blocks.mem) / benchBlock {
		w.blocks.walk(&w.frame, visit)
	}
	w.flush()
	spent := threadTime(b) - start
	for at := 0; at < len(w.blocks.mem); at += benchBlock {
		blockHeader(w.blocks.mem[at:]).Block_status = unix.TP_STATUS_USER
	}
	return spent
}

func (w *ringWorker) visit(f *frame.Frame) {
	f.Time = w.at
	if w.decoder.Decode(&w.batch[w.n], f) != packet.OK {
		return
	}
	if w.n++; w.n == len(w.batch) {
		w.flush()
	}
}

func (w *ringWorker) flush() {
	w.table.Account(w.batch[:w.n], w.at)
	w.table.Expire(w.at)
	w.n = 0
}

// threadTime is the processor time of this thread: on a machine shared with others the wall clock says little.
func threadTime(tb testing.TB) time.Duration {
	tb.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		tb.Error(err)
	}
	return time.Duration(ts.Nano())
}
