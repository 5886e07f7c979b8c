package wire_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

const dnsGoldenFolder = "testdata/dns"

// dnsPlaintexts are those of this version that are kept, with what is in them as JSON beside.
func dnsPlaintexts(tb testing.TB) map[string][]byte {
	tb.Helper()
	odd := []flow.DNSAnswer{
		{Client: flow.Addr{Lo: 1}, Server: flow.Addr{Lo: 2}, Version: 4, Question: ".", QType: 16, RCode: 5},
		{Client: flow.Addr{Lo: 1}, Server: flow.Addr{Lo: 2}, Version: 6, Time: 1000, Question: `a\000.\255`, QType: 255, Addresses: []flow.DNSAddress{
			{Addr: flow.Addr{Lo: 9}, Version: 4, TTL: 0}, {Addr: flow.Addr{Lo: 9}, Version: 6, TTL: flow.MaxDNSTTL},
		}},
		{Client: flow.Addr{Lo: 1}, Server: flow.Addr{Lo: 3}, Version: 6, Time: flow.MaxTime / 1000 * 1000, Question: `\255`, QType: 65, RCode: 4095, Chain: []string{"x.y", "y"}},
	}
	all := make(map[string][]byte)
	for name, answers := range map[string][]flow.DNSAnswer{"v1-mixed": newTraffic(11).dnsAnswers(15), "v1-odd": odd} {
		for i := range answers {
			if err := answers[i].Validate(); err != nil {
				tb.Fatal(err)
			}
		}
		h := wire.AppendHeader(nil, wire.Header{Kind: wire.DNS, ID: "edge-1", Boot: uint64(noon), TX: 12})
		all[name] = append(h, encodeDNS(tb, answers)...)
	}
	return all
}

func dnsText(tb testing.TB, plaintext []byte) []byte {
	tb.Helper()
	h, body, err := wire.ParseHeader(plaintext)
	if err != nil {
		tb.Fatal(err)
	}
	b := parsedDNS(tb, body)
	out, err := json.MarshalIndent(map[string]any{
		"kind": h.Kind.String(), "id": h.ID, "boot": h.Boot, "tx": h.TX, "batch_boot": b.Boot, "seq": b.Seq, "floor": b.Floor, "base": b.Base,
		"answers": b.Answers,
	}, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return append(out, '\n')
}

// The encoder makes what it made.
func TestDNSGolden(t *testing.T) {
	for name, plaintext := range dnsPlaintexts(t) {
		path := filepath.Join(dnsGoldenFolder, name)
		if *update {
			for suffix, content := range map[string][]byte{".bin": plaintext, ".json": dnsText(t, plaintext)} {
				if err := os.WriteFile(path+suffix, content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		if want, err := os.ReadFile(path + ".bin"); err != nil || !bytes.Equal(plaintext, want) {
			t.Errorf("%s: %d octets, not the %d of the golden file (%v); -update writes it anew", name, len(plaintext), len(want), err)
		}
	}
}

// What an older sensor sends is understood as it always was.
func TestOldDNSGoldenParses(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(dnsGoldenFolder, "*.bin"))
	if err != nil || len(paths) < len(dnsPlaintexts(t)) {
		t.Fatalf("golden files: %v, %v", paths, err)
	}
	for _, path := range paths {
		plaintext, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(path[:len(path)-len(".bin")] + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if got := dnsText(t, plaintext); !bytes.Equal(got, want) {
			t.Errorf("%s is understood as\n%s", path, got)
		}
	}
}
