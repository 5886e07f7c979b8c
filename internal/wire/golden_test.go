package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files of this version anew")

// goldens are the plaintexts of this version that are kept in testdata: what is in them as JSON beside them.
func goldens() map[string][]flow.Record {
	return map[string][]flow.Record{"flows-v1-mixed": mix("mixed", 40), "flows-v1-everything": newTraffic(11).named(40)}
}

// plaintexts are all golden ones by name.
func plaintexts(tb testing.TB) map[string][]byte {
	tb.Helper()
	all := make(map[string][]byte)
	for name, records := range goldens() {
		all[name] = plaintextOf(tb, records)
	}
	for name, answer := range answers() {
		h := wire.AppendHeader(nil, wire.Header{Kind: wire.Ack, ID: "edge-1", Boot: uint64(noon), TX: 34})
		plaintext, ok := wire.AppendAnswer(h, &answer, 2000)
		if !ok {
			tb.Fatal(name)
		}
		all["ack-v1-"+name] = plaintext
	}
	all["probe-v1"] = wire.AppendProbe(wire.AppendHeader(nil, wire.Header{Kind: wire.Probe, ID: "edge-1", Boot: uint64(noon), TX: 1 << 63}))
	return all
}

func ifaceOf(r *flow.Record) string { return []string{"", "eth1", "wan.100", "eth0"}[r.IfIndex] }

func plaintextOf(tb testing.TB, records []flow.Record) []byte {
	tb.Helper()
	h := wire.AppendHeader(nil, wire.Header{Kind: wire.Flows, ID: "edge-1", Boot: uint64(noon), TX: 12})
	return append(h, encode(tb, records, ifaceOf)...)
}

// text is a plaintext as JSON.
func text(tb testing.TB, plaintext []byte) []byte {
	tb.Helper()
	h, body, err := wire.ParseHeader(plaintext)
	if err != nil {
		tb.Fatal(err)
	}
	if h.Kind == wire.Ack {
		return answerText(tb, h, body)
	}
	if h.Kind == wire.Flows {
		return flowsText(tb, h, body)
	}
	if err := wire.ParseProbe(body); err != nil {
		tb.Fatal(err)
	}
	return []byte("{\"kind\": \"probe\"}\n")
}

func answerText(tb testing.TB, h wire.Header, body []byte) []byte {
	tb.Helper()
	a, err := wire.ParseAnswer(body)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := json.MarshalIndent(map[string]any{"kind": h.Kind.String(), "id": h.ID, "boot": h.Boot, "tx": h.TX, "answer": a}, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return append(out, '\n')
}

func flowsText(tb testing.TB, h wire.Header, body []byte) []byte {
	tb.Helper()
	b := parsed(tb, body)
	named := make([]flow.Named, len(b.Records))
	for i := range b.Records {
		named[i] = flow.Named{Record: &b.Records[i], Iface: b.InterfaceName(b.Records[i].IfIndex)}
	}
	out, err := json.MarshalIndent(map[string]any{
		"kind": h.Kind.String(), "id": h.ID, "boot": h.Boot, "tx": h.TX, "batch_boot": b.Boot, "seq": b.Seq, "floor": b.Floor, "base": b.Base,
		"interfaces": b.Interfaces, "records": named,
	}, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return append(out, '\n')
}

// The encoder makes what it made: a change of the coding shows here, and wants a new Version once a package is released.
func TestGolden(t *testing.T) {
	for name, plaintext := range plaintexts(t) {
		path := filepath.Join("testdata", name)
		if *update {
			for suffix, content := range map[string][]byte{".bin": plaintext, ".json": text(t, plaintext)} {
				if err := os.WriteFile(path+suffix, content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		want, err := os.ReadFile(path + ".bin")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(plaintext, want) {
			t.Errorf("%s: %d octets, not the %d of the golden file; -update writes it anew", name, len(plaintext), len(want))
		}
	}
}

// What an older sensor sends is understood as it always was: every golden file there is still parses.
func TestOldGoldenParses(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.bin")
	if err != nil || len(paths) < len(plaintexts(t)) {
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
		if got := text(t, plaintext); !bytes.Equal(got, want) {
			t.Errorf("%s is understood as\n%s", path, got)
		}
	}
}
