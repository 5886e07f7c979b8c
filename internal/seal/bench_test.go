package seal_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"flowsensor/internal/seal"
)

var sizes = []int{200, 1039, 49055}

func BenchmarkSeal(b *testing.B) {
	s, err := seal.NewSealer("edge-1", newKey(b))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("octets=%d", n), func(b *testing.B) {
			plain := make([]byte, n)
			var dst []byte
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if dst, err = s.Seal(dst[:0], plain, noon); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	older, newer := newKey(b), newKey(b)
	o := opener(b, seal.Sensor{ID: "edge-1", Keys: []seal.Key{newer, older}})
	for _, n := range sizes {
		for name, k := range map[string]seal.Key{"newer": newer, "older": older} {
			datagram := sealed(b, "edge-1", k, make([]byte, n), noon)
			b.Run(fmt.Sprintf("octets=%d/key=%s", n, name), func(b *testing.B) {
				b.SetBytes(int64(n))
				benchOpen(b, o, datagram, seal.ReasonOK)
			})
		}
	}
}

// What a flood of junk costs, by how well it imitates.
func BenchmarkJunk(b *testing.B) {
	k := newKey(b)
	o := opener(b, seal.Sensor{ID: "edge-1", Keys: []seal.Key{k}, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		seal.Sensor{ID: "edge-2", Keys: []seal.Key{newKey(b)}})
	good := sealed(b, "edge-2", k, make([]byte, 1039), noon)
	for _, c := range []struct {
		name     string
		datagram []byte
		want     seal.Reason
	}{
		{"no space", bytes.Repeat([]byte{'A'}, 1472), seal.ReasonShape},
		{"no token", append([]byte("edge-1 "), make([]byte, 1465)...), seal.ReasonShape},
		{"length", good[:len(good)-1], seal.ReasonShape},
		{"unknown id", append([]byte("edge-9"), good[6:]...), seal.ReasonUnknownID},
		{"address", append([]byte("edge-1"), good[6:]...), seal.ReasonAddress},
		{"HMAC", good, seal.ReasonHMAC},
	} {
		b.Run(c.name, func(b *testing.B) { benchOpen(b, o, c.datagram, c.want) })
	}
}

func benchOpen(b *testing.B, o *seal.Opener, datagram []byte, want seal.Reason) {
	b.Helper()
	from := netip.MustParseAddr("203.0.113.1")
	dst := make([]byte, 0, len(datagram))
	b.ReportAllocs()
	for b.Loop() {
		if _, reason := o.Open(dst, datagram, from, noon); reason != want {
			b.Fatal(reason)
		}
	}
}

func BenchmarkWindow(b *testing.B) {
	var boots seal.Boots
	b.ReportAllocs()
	tx := uint64(0)
	for b.Loop() {
		tx++
		boots.Accept(1, tx)
	}
}
