package route_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/route"
)

// random gives an address of the version.
func random(r *rand.Rand, version uint8) netip.Addr {
	if version == 4 {
		return netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
	}
	b := [16]byte{0x20}
	for i := 1; i < len(b); i++ {
		b[i] = byte(r.Uint32())
	}
	return netip.AddrFrom16(b)
}

func prefixes(n int) []netip.Prefix {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]netip.Prefix, n)
	for i := range all {
		if r.IntN(5) == 0 {
			all[i] = netip.PrefixFrom(random(r, 6), 32+4*r.IntN(5)).Masked()
		} else {
			all[i] = netip.PrefixFrom(random(r, 4), 16+min(r.IntN(14), 8)).Masked()
		}
	}
	return all
}

func recordsBetween(n int) []flow.Record {
	r := rand.New(rand.NewPCG(3, 4))
	all := make([]flow.Record, n)
	for i := range all {
		version := uint8(4 + 2*(r.IntN(5)/4))
		all[i].Src, all[i].Version = flow.AddrFrom(random(r, version))
		all[i].Dst, _ = flow.AddrFrom(random(r, version))
	}
	return all
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func filled(n int) *route.Table {
	t := route.Detached()
	for i, p := range prefixes(n) {
		gateway := flow.Addr{Lo: uint64(1 + i%8)}
		t.Put(p, gateway, uint32(1+i%4))
	}
	return t
}

func BenchmarkFill(b *testing.B) {
	for _, n := range []int{10, 1_000_000} {
		before := heap()
		t := filled(n)
		memory := heap() - before
		all := recordsBetween(1 << 16)
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				t.Fill(&all[i&(len(all)-1)])
				i++
			}
			b.ReportMetric(float64(memory)/(1<<20), "MiB")
		})
		runtime.KeepAlive(t)
	}
}

func BenchmarkChange(b *testing.B) {
	t, all := filled(1_000_000), prefixes(1_000_000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t.Change(all[i%len(all)], uint32(i%7), unix.NLM_F_REPLACE)
		i++
	}
}

func TestFillDoesNotAllocate(t *testing.T) {
	table, all := filled(1000), recordsBetween(1000)
	if n := testing.AllocsPerRun(100, func() {
		for i := range all {
			table.Fill(&all[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d records", n, len(all))
	}
}
