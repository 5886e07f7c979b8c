package pcapfile_test

import (
	"errors"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/pcapfile"
)

func TestPcapngBlocks(t *testing.T) {
	for _, f := range []*builder{little(), bigEndian()} {
		f.section().named(1, "eth0\x00").describe(101, f.body().u16(9, 1).raw(9, 0, 0, 0).b)
		f.enhanced(1, 1_700_000_000_123_456_789, "v4")
		f.block(4, []byte("a name resolution block"))
		f.block(0x40000bad, nil)
		// The obsolete packet block: the interface and a drop count in 16 bits each.
		f.block(2, f.body().u16(0, 77).u32(0, 2_000_000, 2, 60).raw('o', 'b').b)
		f.block(3, f.body().u32(3).raw('s', 'p', 'b').b)
		// An enhanced packet block with a comment.
		f.block(6, f.body().u32(0, 0, 3_000_000, 1, 1).raw('c', 0, 0, 0).option(1, []byte("a comment")...).u32(0).b)
		r := mustRead(t, f.b,
			seen{"v4", 1_700_000_000_123_456_789, 2, 1, frame.Raw}, seen{"ob", 2 * second, 60, 0, frame.Ethernet},
			seen{"spb", 2 * second, 3, 0, frame.Ethernet}, seen{"c", 3 * second, 1, 0, frame.Ethernet})
		if got, want := r.Interfaces(), []flow.Interface{{Index: 0, Name: "eth0"}, {Index: 1}}; !slices.Equal(got, want) {
			t.Errorf("interfaces %+v", got)
		}
		if s := r.Stats(); s != (pcapfile.Stats{Frames: 4, Bytes: 8, Untimed: 1}) {
			t.Errorf("%+v", s)
		}
	}
}

func TestPcapngSimplePacketIsCutAtTheSnapLength(t *testing.T) {
	f := little().section()
	f.block(1, f.body().u16(1, 0).u32(4).b)
	f.block(3, f.body().u32(1500).raw([]byte("abcd")...).b)
	f.block(3, f.body().u32(2).raw([]byte("ab")...).b)
	mustRead(t, f.b, seen{"abcd", 0, 1500, 0, frame.Ethernet}, seen{"ab", 0, 2, 0, frame.Ethernet})
}

// Sections have byte orders and interface numbers of their own.
func TestPcapngSections(t *testing.T) {
	second := bigEndian().section().named(1, "eth1").named(1, "eth0").named(101, "eth0").enhanced(0, 1, "d").enhanced(1, 2, "e").enhanced(2, 3, "f")
	third := little().section().describe(1, nil).describe(1, nil).enhanced(1, 4, "g")
	fourth := little().section().describe(1, nil).describe(1, nil).enhanced(1, 5, "h")
	first := little().section().named(1, "eth0").named(1, "eth0").enhanced(0, 0, "b").enhanced(1, 0, "c")
	r := mustRead(t, slices.Concat(first.b, second.b, third.b, fourth.b),
		seen{"b", 0, 1, 0, frame.Ethernet}, seen{"c", 0, 1, 1, frame.Ethernet},
		seen{"d", 1000, 1, 2, frame.Ethernet}, seen{"e", 2000, 1, 0, frame.Ethernet}, seen{"f", 3000, 1, 3, frame.Raw},
		seen{"g", 4000, 1, 5, frame.Ethernet}, seen{"h", 5000, 1, 5, frame.Ethernet})
	var names []string
	for i, in := range r.Interfaces() {
		if in.Index != uint32(i) {
			t.Errorf("interface %d has index %d", i, in.Index)
		}
		names = append(names, in.Name)
	}
	if got := strings.Join(names, ","); got != "eth0,eth0,eth1,eth0,," {
		t.Errorf("interfaces %s", got)
	}
	// An interface of the first section is not one of the second.
	mustFail(t, slices.Concat(first.b, little().section().enhanced(0, 0, "x").b), 2, pcapfile.ErrDamaged)
}

func TestPcapngLinkTypes(t *testing.T) {
	mixed := little().section().named(105, "wlan0").enhanced(0, 0, "w").named(1, "eth0").enhanced(1, 0, "e")
	mustRead(t, mixed.b, seen{"w", 0, 1, 0, 105}, seen{"e", 0, 1, 1, frame.Ethernet})
	none := little().section().named(105, "wlan0").enhanced(0, 0, "w").enhanced(0, 0, "x")
	frames, _, err := read(none.b)
	if len(frames) != 2 || !errors.Is(err, pcapfile.ErrLinkType) || !strings.Contains(err.Error(), "IEEE802_11 (105)") {
		t.Errorf("%d frames, %v", len(frames), err)
	}
}

func TestPcapngDamage(t *testing.T) {
	good := func() *builder { return little().section().named(1, "eth0").enhanced(0, 0, "good") }
	for name, file := range map[string][]byte{
		"length 0":                good().u32(6, 0, 0, 0).b,
		"length 8":                good().u32(6, 8, 8, 8).b,
		"hostile length":          good().u32(6, math.MaxUint32-3).raw(make([]byte, 5000)...).b,
		"hostile interface":       good().u32(1, 1<<30).raw(make([]byte, 5000)...).b,
		"lengths differ":          good().u32(5, 16, 0, 12).b,
		"interface not described": good().enhanced(1, 0, "x").b,
		"frame beyond its block":  good().block(6, little().u32(0, 0, 0, 100, 100).raw(1, 2, 3, 4).b).b,
		"hostile frame length":    good().block(6, little().u32(0, 0, 0, math.MaxUint32, 100).raw(1, 2, 3, 4).b).b,
		"enhanced too short":      good().block(6, make([]byte, 16)).b,
		"obsolete too short":      good().block(2, make([]byte, 16)).b,
		"simple too short":        good().block(3, nil).b,
		"interface too short":     good().block(1, make([]byte, 4)).b,
		"option beyond its block": good().describe(1, little().u16(2, 100).raw(1, 2, 3, 4).b).b,
		"if_tsresol of 2 bytes":   good().describe(1, little().option(9, 6, 6).b).b,
		"if_tsoffset of 4 bytes":  good().describe(1, little().option(14, 1, 2, 3, 4).b).b,
		"section without magic":   good().block(0x0a0d0d0a, make([]byte, 16)).b,
	} {
		t.Run(name, func(t *testing.T) { mustFail(t, file, 1, pcapfile.ErrDamaged) })
	}
	mustFail(t, good().block(0x0a0d0d0a, little().u32(0x1a2b3c4d).u16(2, 0).u32(0, 0).b).b, 1, pcapfile.ErrFormat)
	mustFail(t, little().section().enhanced(0, 0, "x").b, 0, pcapfile.ErrDamaged)
	mustFail(t, little().section().block(3, make([]byte, 8)).b, 0, pcapfile.ErrDamaged)
}

// Blocks that hold no frames may be of any length; an options list may lack its end, and a length its padding.
func TestPcapngTolerance(t *testing.T) {
	f := little().section().named(1, "eth0").enhanced(0, 0, "a").block(0xbad, make([]byte, 3<<20)).enhanced(0, 0, "b")
	f.u32(0x0bad, 13).raw(1, 0, 0, 0).u32(13).enhanced(0, 0, "c")
	f.describe(1, little().option(2, 'x').b).describe(1, little().u16(2, 1).raw('y').b).enhanced(1, 0, "d")
	f.describe(1, little().option(2, []byte(strings.Repeat("long", 1000))...).option(2, 'z').b)
	want := []seen{{"a", 0, 1, 0, frame.Ethernet}, {"b", 0, 1, 0, frame.Ethernet}, {"c", 0, 1, 0, frame.Ethernet}, {"d", 0, 1, 1, frame.Ethernet}}
	r := mustRead(t, f.b, want...)
	if in := r.Interfaces(); len(in) != 4 || in[1].Name != "x" || in[2].Name != "y" || len(in[3].Name) != 255 {
		t.Errorf("%+v", in)
	}
	cut := f.b[:2<<20] // within the long block
	mustFail(t, cut, 1, io.ErrUnexpectedEOF)
}

func TestPcapngInterfacesAreBounded(t *testing.T) {
	f := little().section()
	for range 1<<16 + 1 {
		f.describe(1, nil)
	}
	mustFail(t, f.b, 0, pcapfile.ErrDamaged)
}

// The times agree with unbounded arithmetic for every resolution, offset and timestamp, and what a record cannot hold
// becomes the nearest that it can, counted.
func TestPcapngTimes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	offsets := []int64{0, 0, 0, 1, -1, 1_000_000, -1_700_000_000, 9_199_999_999, math.MaxInt64, math.MinInt64}
	for round := range 3000 {
		resolution := byte(rng.Uint32())
		if round%2 == 0 {
			resolution &= 0x8f // the likely ones, oftener
		}
		offset, ts := offsets[rng.IntN(len(offsets))], rng.Uint64()>>rng.IntN(64)
		options := little().option(9, resolution).option(14, little().u32(uint32(offset), uint32(offset>>32)).b...)
		frames, r, err := read(little().section().describe(1, options.b).enhanced(0, ts, "").b)
		if err != nil || len(frames) != 1 {
			t.Fatal(len(frames), err)
		}
		want, clamped := exact(resolution, offset, ts)
		if frames[0].Time != want || r.Stats().Clamped != clamped {
			t.Fatalf("resolution %#x, offset %d, timestamp %d: %d (%d clamped), want %d (%d)",
				resolution, offset, ts, frames[0].Time, r.Stats().Clamped, want, clamped)
		}
	}
}

func exact(resolution byte, offset int64, ts uint64) (want int64, clamped uint64) {
	base := int64(10)
	if resolution&0x80 != 0 {
		base = 2
	}
	units := new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(resolution&0x7f)), nil)
	ns := new(big.Int).SetUint64(ts)
	ns.Div(ns.Mul(ns, big.NewInt(1e9)), units)
	ns.Add(ns, new(big.Int).Mul(big.NewInt(offset), big.NewInt(1e9)))
	switch {
	case ns.Sign() < 0:
		return 0, 1
	case ns.Cmp(big.NewInt(flow.MaxTime)) > 0:
		return flow.MaxTime, 1
	}
	return ns.Int64(), 0
}
