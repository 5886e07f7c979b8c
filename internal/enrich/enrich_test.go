package enrich_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/gaissmai/bart"
	"github.com/google/go-cmp/cmp"
	"github.com/maxmind/mmdbwriter"

	"flowsensor/internal/enrich"
	"flowsensor/internal/flow"
)

const prefixes = `prefix,as,name
# the documentation's networks
192.0.2.0/24, 64500, "Example, Inc."
192.0.2.128/25,AS64501,Example's customer
0.0.0.0/1,64510

2001:db8::/32,64502,Sechs
2001:db8:0:1::/64,64503,Netz
2001:db8:0:1::7/128,64504,Rechner
255.255.255.255/32,4294967294,last
ffff::/16,64505,last of six
`

func TestLookupLongestPrefix(t *testing.T) {
	o := open(t, enrich.Config{Prefixes: file(t, "prefixes.csv", []byte(prefixes))})
	for address, want := range map[string]enrich.Origin{
		"192.0.2.0":            {AS: 64500, Mask: 25, Name: "Example, Inc."},
		"192.0.2.127":          {AS: 64500, Mask: 25, Name: "Example, Inc."},
		"192.0.2.128":          {AS: 64501, Mask: 26, Name: "Example's customer"},
		"192.0.2.255":          {AS: 64501, Mask: 26, Name: "Example's customer"},
		"192.0.1.255":          {},
		"192.0.3.0":            {},
		"0.0.0.0":              {AS: 64510, Mask: 2},
		"127.255.255.255":      {AS: 64510, Mask: 2},
		"128.0.0.0":            {},
		"255.255.255.254":      {},
		"255.255.255.255":      {AS: 4294967294, Mask: 33, Name: "last"},
		"2001:db8::1":          {AS: 64502, Mask: 33, Name: "Sechs"},
		"2001:db8:0:1::6":      {AS: 64503, Mask: 65, Name: "Netz"},
		"2001:db8:0:1::7":      {AS: 64504, Mask: 129, Name: "Rechner"},
		"2001:db8:0:2::":       {AS: 64502, Mask: 33, Name: "Sechs"},
		"2001:db7:ffff::":      {},
		"2001:db9::":           {},
		"::":                   {},
		"ffff:ffff:ffff::ffff": {AS: 64505, Mask: 17, Name: "last of six"},
		"::ffff:192.0.2.1":     {}, // a flow of IPv6, whatever the address looks like
	} {
		if got := lookup(o, address); got != want {
			t.Errorf("%s: got %+v, want %+v", address, got, want)
		}
	}
	if got := o.Lookup(flow.Addr{}, 0); got != (enrich.Origin{}) {
		t.Errorf("no address has %+v", got)
	}
}

// The flat table says what a trie says, for nested prefixes of all lengths and the addresses at their edges.
func TestLookupAgreesWithTrie(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 20 {
		var text strings.Builder
		trie := new(bart.Table[enrich.Origin])
		var edges []netip.Addr
		for range 1 + r.IntN(400)*r.IntN(2) {
			p := nested(r)
			if _, there := trie.Get(p); there {
				continue
			}
			as := 1 + r.Uint32N(5)
			fmt.Fprintf(&text, "%s,%d\n", p, as)
			trie.Insert(p, enrich.Origin{AS: as, Mask: uint8(p.Bits() + 1)})
			edges = append(edges, p.Addr(), p.Addr().Prev(), last(p), last(p).Next())
		}
		o := open(t, enrich.Config{Prefixes: file(t, "prefixes.csv", []byte(text.String()))})
		for range 2000 {
			edges = append(edges, nested(r).Addr())
		}
		for _, ip := range edges {
			a, version := flow.AddrFrom(ip)
			want := enrich.Origin{}
			if ip.IsValid() {
				want, _ = trie.Lookup(ip)
			}
			if got := o.Lookup(a, version); got != want {
				t.Fatalf("round %d: %s: got %+v, the trie says %+v; of\n%s", round, ip, got, want, text.String())
			}
		}
	}
}

// nested gives prefixes that hold one another often.
func nested(r *rand.Rand) netip.Prefix {
	if r.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{byte(r.IntN(2) * 255), byte(r.IntN(3)), byte(r.IntN(2) * 255), byte(r.Uint32())})
		return netip.PrefixFrom(a, r.IntN(33)).Masked()
	}
	var b [16]byte
	b[0], b[1], b[7], b[15] = byte(r.IntN(2)*255), byte(r.IntN(3)), byte(r.Uint32()), byte(r.IntN(4))
	return netip.PrefixFrom(netip.AddrFrom16(b), r.IntN(129)).Masked()
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func TestDatabase(t *testing.T) {
	networks := []network{
		{"192.0.2.0/24", 64500, "Example, Inc."},
		{"198.51.100.0/25", 64501, "Evil\n\x1b[31m Corp\xff"},
		{"203.0.113.0/24", 0, "data without a number"},
	}
	six := []network{{"2001:db8::/32", 64502, "Sechs"}, {"2001:db9:1:2:3::/80", 64503, "Tief"}}
	for name, c := range map[string]struct {
		options mmdbwriter.Options
		more    []network
	}{
		"IPv4":       {mmdbwriter.Options{IPVersion: 4}, nil},
		"24 bits":    {mmdbwriter.Options{RecordSize: 24}, six},
		"28 bits":    {mmdbwriter.Options{RecordSize: 28}, six},
		"32 bits":    {mmdbwriter.Options{RecordSize: 32}, six},
		"no aliases": {mmdbwriter.Options{DisableIPv4Aliasing: true}, six},
	} {
		o := open(t, enrich.Config{Database: file(t, "asn.mmdb", database(t, c.options, append(networks, c.more...)...))})
		want := map[string]enrich.Origin{
			"192.0.2.77":       {AS: 64500, Mask: 25, Name: "Example, Inc."},
			"198.51.100.1":     {AS: 64501, Mask: 26, Name: "Evil  [31m Corp\ufffd"},
			"198.51.100.128":   {},
			"203.0.113.1":      {},
			"::ffff:192.0.2.1": {},
			"2002:c000:201::":  {}, // 6to4 of 192.0.2.1 is an alias in the file, and no prefix
		}
		if c.more != nil {
			want["2001:db8::1"] = enrich.Origin{AS: 64502, Mask: 33, Name: "Sechs"}
			want["2001:db9:1:2:3::1"] = enrich.Origin{AS: 64503, Mask: 81, Name: "Tief"}
		}
		for address, origin := range want {
			if got := lookup(o, address); got != origin {
				t.Errorf("%s: %s: got %+v, want %+v", name, address, got, origin)
			}
		}
	}
}

func TestBothSourcesTheLongerPrefixWins(t *testing.T) {
	o := open(t, enrich.Config{
		Database: file(t, "asn.mmdb", database(t, mmdbwriter.Options{}, network{"192.0.2.0/24", 1, "database"},
			network{"198.51.100.0/24", 2, "database"}, network{"203.0.113.0/25", 3, "database"})),
		Prefixes: file(t, "prefixes.csv", []byte("192.0.2.0/24,11,own\n198.51.100.128/25,12,own\n203.0.113.0/24,13,own\n")),
	})
	for address, want := range map[string]enrich.Origin{
		"192.0.2.1":      {AS: 11, Mask: 25, Name: "own"},
		"198.51.100.1":   {AS: 2, Mask: 25, Name: "database"},
		"198.51.100.200": {AS: 12, Mask: 26, Name: "own"},
		"203.0.113.1":    {AS: 3, Mask: 26, Name: "database"},
		"203.0.113.200":  {AS: 13, Mask: 25, Name: "own"},
	} {
		if got := lookup(o, address); got != want {
			t.Errorf("%s: got %+v, want %+v", address, got, want)
		}
	}
}

func TestEnrichRecord(t *testing.T) {
	o := open(t, enrich.Config{Prefixes: file(t, "prefixes.csv", []byte("192.0.2.0/24,64500,one\n198.51.100.0/24,64501,two\n"))})
	src, _ := flow.AddrFrom(netip.MustParseAddr("192.0.2.1"))
	dst, _ := flow.AddrFrom(netip.MustParseAddr("198.51.100.1"))
	for name, c := range map[string]struct {
		record, want           flow.Record
		attribution, attribute flow.Attribution
	}{
		"client sends": {
			want:      flow.Record{SrcAS: 64500, DstAS: 64501, SrcMask: 25, DstMask: 25},
			attribute: flow.Attribution{ClientAS: 64500, ServerAS: 64501, ClientASName: "one", ServerASName: "two"},
		},
		"server sends": {
			want:        flow.Record{SrcAS: 64500, DstAS: 64501, SrcMask: 25, DstMask: 25},
			attribution: flow.Attribution{FromServer: true},
			attribute:   flow.Attribution{FromServer: true, ClientAS: 64501, ServerAS: 64500, ClientASName: "two", ServerASName: "one"},
		},
		"the sensor's word stands": {
			record:    flow.Record{SrcAS: 7, DstAS: 64501, SrcMask: 17, DstMask: 1, OutIf: 3},
			want:      flow.Record{SrcAS: 7, DstAS: 64501, SrcMask: 17, DstMask: 1, OutIf: 3},
			attribute: flow.Attribution{ClientAS: 7, ServerAS: 64501, ServerASName: "two"},
		},
	} {
		for _, r := range []*flow.Record{&c.record, &c.want} {
			r.Src, r.Dst, r.Version = src, dst, 4
		}
		o.Enrich(&c.record, &c.attribution)
		if diff := cmp.Diff(c.want, c.record); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(c.attribute, c.attribution); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestEnrichUnknownAndUnconfigured(t *testing.T) {
	for _, o := range []*enrich.Origins{open(t, enrich.Config{}), open(t, enrich.Config{Prefixes: file(t, "p.csv", []byte("192.0.2.0/24,1\n"))})} {
		r := flow.Record{Key: flow.Key{Src: flow.Addr{Lo: 1}, Dst: flow.Addr{Hi: 1}, Version: 6}}
		before, a := r, flow.Attribution{}
		o.Enrich(&r, &a)
		if r != before || a != (flow.Attribution{}) {
			t.Errorf("%+v became %+v, %+v", before, r, a)
		}
	}
}

func TestEnrichDoesNotAllocate(t *testing.T) {
	o := open(t, enrich.Config{
		Prefixes: file(t, "prefixes.csv", []byte(prefixes)),
		Database: file(t, "asn.mmdb", database(t, mmdbwriter.Options{}, network{"0.0.0.0/0", 1, "all"}, network{"2001:db9:1:2:3::/80", 64503, "Tief"})),
	})
	all := records(1000)
	var a flow.Attribution
	if n := testing.AllocsPerRun(100, func() {
		for i := range all {
			r := all[i]
			o.Enrich(&r, &a)
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d records", n, len(all))
	}
}
