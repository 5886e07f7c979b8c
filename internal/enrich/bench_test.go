package enrich_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"flowsensor/internal/enrich"
	"flowsensor/internal/flow"
)

// internet writes a prefix table shaped like the internet's: mostly IPv4 /24 and IPv6 /48 under shorter ones, of 80,000
// systems.
func internet(tb testing.TB, prefixes int) string {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	seen := make(map[netip.Prefix]bool, prefixes)
	var text bytes.Buffer
	for len(seen) < prefixes {
		p := randomPrefix(r)
		if seen[p] {
			continue
		}
		seen[p] = true
		as := 1 + r.IntN(80_000)
		fmt.Fprintf(&text, "%s,%d,Network Operator %d\n", p, as, as)
	}
	path := filepath.Join(tb.TempDir(), "prefixes.csv")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

func randomPrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(5) == 0 {
		bits := []int{32, 36, 40, 44, 48, 48, 48, 48}[r.IntN(8)]
		return netip.PrefixFrom(randomAddr(r, 6), bits).Masked()
	}
	bits := []int{12, 16, 18, 19, 20, 21, 22, 22, 23, 23, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24}[r.IntN(20)]
	return netip.PrefixFrom(randomAddr(r, 4), bits).Masked()
}

func randomAddr(r *rand.Rand, version uint8) netip.Addr {
	if version == 4 {
		return netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
	}
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0], b[1] = 0x20|b[0]&0xf, b[1]&0xf // of 2000::/4: dense as what is assigned
	return netip.AddrFrom16(b)
}

// records between addresses all over the table: nearly every step of a look-up misses the caches.
func records(n int) []flow.Record {
	r := rand.New(rand.NewPCG(3, 4))
	all := make([]flow.Record, n)
	for i := range all {
		version := uint8(4)
		if r.IntN(5) == 0 {
			version = 6
		}
		all[i].Src, all[i].Version = flow.AddrFrom(randomAddr(r, version))
		all[i].Dst, _ = flow.AddrFrom(randomAddr(r, version))
	}
	return all
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkEnrich(b *testing.B) {
	for _, prefixes := range []int{1000, 1_000_000} {
		path := internet(b, prefixes)
		before := heap()
		o, err := enrich.Open(enrich.Config{Prefixes: path, Interval: enrich.DefaultInterval})
		if err != nil {
			b.Fatal(err)
		}
		memory := heap() - before
		all := records(1 << 16)
		b.Run(fmt.Sprintf("prefixes=%d", prefixes), func(b *testing.B) {
			b.ReportAllocs()
			var a flow.Attribution
			i := 0
			for b.Loop() {
				r := &all[i&(len(all)-1)]
				r.SrcAS, r.DstAS, r.SrcMask, r.DstMask = 0, 0, 0, 0
				o.Enrich(r, &a)
				i++
			}
			b.ReportMetric(float64(memory)/(1<<20), "MiB")
		})
		runtime.KeepAlive(o)
	}
}

func BenchmarkLoad(b *testing.B) {
	path := internet(b, 1_000_000)
	for b.Loop() {
		if _, err := enrich.Open(enrich.Config{Prefixes: path, Interval: enrich.DefaultInterval}); err != nil {
			b.Fatal(err)
		}
	}
}
