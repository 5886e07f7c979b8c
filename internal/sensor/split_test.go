package sensor

import (
	"sync"
	"testing"

	"flowsensor/internal/flow"
)

// packetsOf gives a packet of each of so many flows.
func packetsOf(flows uint32) []flow.Packet {
	all := make([]flow.Packet, flows)
	for i := range all {
		all[i].Key = flow.Key{
			Src: flow.Addr{Lo: 0x0a000000 | uint64(i>>8)}, Dst: flow.Addr{Lo: 0xc6336401}, SrcPort: uint16(i), DstPort: 443,
			Proto: flow.ProtoUDP, Version: 4, IfIndex: 2,
		}
	}
	return all
}

func TestSplitFlowsAreSeen(t *testing.T) {
	const flows = 1 << 20
	for name, c := range map[string]struct {
		second func(p *flow.Packet) (worker uint8)
		split  bool
	}{
		"one worker":          {func(*flow.Packet) uint8 { return 3 }, false},
		"another worker":      {func(*flow.Packet) uint8 { return 4 }, true},
		"another interface":   {func(p *flow.Packet) uint8 { p.IfIndex = 9; return 4 }, false},
		"another ToS byte":    {func(p *flow.Packet) uint8 { p.ToS = 8; return 4 }, false},
		"another IP version":  {func(p *flow.Packet) uint8 { p.Version = 6; return 4 }, false},
		"fragments elsewhere": {func(p *flow.Packet) uint8 { p.Fragment = true; return 4 }, false},
	} {
		w, packets := newSplitWatch(), packetsOf(flows)
		w.look(packets, 3)
		watched := w.watched.Load()
		// One in 1024, within six standard deviations of chance.
		if watched < flows/1024-6*32 || watched > flows/1024+6*32 {
			t.Errorf("%s: %d flows of %d are watched", name, watched, flows)
		}
		for range 2 { // what is known is not counted again
			for i := range packets {
				worker := c.second(&packets[i])
				w.look(packets[i:i+1], worker)
			}
		}
		if split := w.split.Load(); (split > watched*9/10) != c.split || (split > 0) != c.split || split > watched {
			t.Errorf("%s: %d split flows of %d watched", name, split, watched)
		}
	}
}

// Whatever part of a key varies, about as many are watched, by any seed.
func TestTheSampleIsEven(t *testing.T) {
	const flows = 1 << 15
	packets, most := make([]flow.Packet, flows), 0.0
	for name, vary := range map[string]func(k *flow.Key, i uint64){
		"source port":      func(k *flow.Key, i uint64) { k.SrcPort, k.DstPort = uint16(i), 443 },
		"destination port": func(k *flow.Key, i uint64) { k.DstPort, k.SrcPort = uint16(i), 53 },
		"source":           func(k *flow.Key, i uint64) { k.Src.Lo = 0x0a000000 | i },
		"network":          func(k *flow.Key, i uint64) { k.Dst.Lo = i << 12 },
		"both":             func(k *flow.Key, i uint64) { k.Src.Lo, k.Dst.Lo = 0x0a000000|i&0xff, 0x0a000000|i>>8 },
		"interface id":     func(k *flow.Key, i uint64) { k.Src.Lo, k.Dst.Lo = i<<40|i, 1 },
	} {
		for i := range packets {
			packets[i] = flow.Packet{Key: flow.Key{Src: flow.Addr{Lo: 0x0a000001}, Dst: flow.Addr{Lo: 0x0a000002}, Proto: flow.ProtoUDP, Version: 4}}
			vary(&packets[i].Key, uint64(i))
		}
		for range 50 {
			w := newSplitWatch()
			w.look(packets, 0)
			off := float64(w.watched.Load()) - flows>>splitSampleBits
			most = max(most, off, -off)
			if off < -28 || off > 60 {
				t.Errorf("%s: %d of %d are watched", name, w.watched.Load(), flows)
			}
		}
	}
	t.Logf("at most %v off", most)
}

// Two workers that meet the same flows at the same time count each once.
func TestSplitIsCountedOnceByAll(t *testing.T) {
	const workers, rounds = 4, 3
	w, packets := newSplitWatch(), packetsOf(1<<19)
	var readers sync.WaitGroup
	for worker := range uint8(workers) {
		readers.Go(func() {
			for range rounds {
				w.look(packets, worker)
			}
		})
	}
	readers.Wait()
	alone := newSplitWatch()
	alone.seed = w.seed
	alone.look(packets, 0)
	if watched, want := w.watched.Load(), alone.watched.Load(); watched != want || w.split.Load() != want {
		t.Errorf("%d watched, %d split, want %d", watched, w.split.Load(), want)
	}
}

// A full table watches the newest flows, and goes on counting.
func TestSplitWatchWhenFull(t *testing.T) {
	w := newSplitWatch()
	const flows = 3 * splitBuckets * splitWays
	met := uint64(0)
	for i := range uint32(flows) {
		k := flow.Key{SrcPort: uint16(i), Src: flow.Addr{Lo: uint64(i)}, Version: 4}
		w.meet(&k, 1)
		w.meet(&k, 2)
		met++
		if w.watched.Load() != met || w.split.Load() != met {
			t.Fatalf("after %d flows %d are watched, %d split", met, w.watched.Load(), w.split.Load())
		}
	}
}

func TestLookDoesNotAllocate(t *testing.T) {
	w, packets := newSplitWatch(), packetsOf(4096)
	if n := testing.AllocsPerRun(10, func() { w.look(packets, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSplitWatch is what the watch costs each packet.
func BenchmarkSplitWatch(b *testing.B) {
	w, packets := newSplitWatch(), packetsOf(batchSize)
	b.ReportAllocs()
	for b.Loop() {
		w.look(packets, 1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/packet")
}
