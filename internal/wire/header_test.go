package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"flowsensor/internal/wire"
)

func TestHeader(t *testing.T) {
	h := wire.Header{Kind: wire.Flows, ID: "edge-1", Boot: 0x0102030405060708, TX: 0x1112131415161718}
	got := wire.AppendHeader([]byte("kept"), h)
	// Fixed for ever: not to be changed with the code.
	want := "kept" +
		"fs" + "\x01" + "\x01" + // magic, version, kind
		"\x06edge-1" +
		"\x01\x02\x03\x04\x05\x06\x07\x08" + // boot
		"\x11\x12\x13\x14\x15\x16\x17\x18" // tx
	if string(got) != want {
		t.Fatalf("header is % x", got)
	}
	if n := wire.HeaderLen(6); n != len(want)-4 {
		t.Errorf("HeaderLen says %d", n)
	}
	parsed, body, err := wire.ParseHeader(append(got[4:], "body"...))
	if err != nil || parsed != h || string(body) != "body" {
		t.Errorf("%+v, %q, %v", parsed, body, err)
	}
}

func TestHeaderRefused(t *testing.T) {
	good := wire.AppendHeader(nil, wire.Header{Kind: wire.Probe, ID: "edge-1", Boot: 1, TX: 2})
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for _, c := range []struct {
		name   string
		b      []byte
		want   error
		filled bool
	}{
		{"magic", change(0, 'x'), wire.ErrMagic, false},
		{"magic", change(1, 'x'), wire.ErrMagic, false},
		{"version", change(2, 2), wire.ErrVersion, true},
		{"version 0", change(2, 0), wire.ErrVersion, true},
		{"kind 0", change(3, 0), wire.ErrKind, true},
		{"kind", change(3, 6), wire.ErrKind, true},
		{"no id", change(4, 0), wire.ErrID, false},
		{"id beyond the end", change(4, 255), wire.ErrTruncated, false},
		{"id too long", append(change(4, 64), make([]byte, 100)...), wire.ErrID, false},
		{"id", change(5, '-'), wire.ErrID, false},
		{"id", change(6, ' '), wire.ErrID, false},
		{"id", change(6, 0x80), wire.ErrID, false},
		{"an id that is not one", wire.AppendHeader(nil, wire.Header{Kind: wire.Flows, ID: strings.Repeat("a", 64)}), wire.ErrID, false},
		{"an id that wraps its length", wire.AppendHeader(nil, wire.Header{Kind: wire.Flows, ID: strings.Repeat("a", 256+6)}), wire.ErrID, false},
	} {
		h, body, err := wire.ParseHeader(c.b)
		if !errors.Is(err, c.want) || body != nil {
			t.Errorf("%s: %q, %v", c.name, body, err)
		}
		if filled := h.ID == "edge-1" && h.Boot == 1 && h.TX == 2; filled != c.filled {
			t.Errorf("%s: %+v", c.name, h)
		}
	}
	for n := range good {
		if _, _, err := wire.ParseHeader(good[:n]); !errors.Is(err, wire.ErrTruncated) {
			t.Errorf("cut to %d octets: %v", n, err)
		}
	}
}

func TestKinds(t *testing.T) {
	for k, want := range map[wire.Kind]struct {
		name                  string
		toCollector, toSensor bool
	}{
		0: {"Kind(0)", false, false}, 1: {"flows", true, false}, 2: {"report", true, false}, 3: {"ack", false, true},
		4: {"dns", true, false}, 5: {"probe", true, false}, 6: {"Kind(6)", false, false},
	} {
		if k.String() != want.name || k.ToCollector() != want.toCollector || k.ToSensor() != want.toSensor {
			t.Errorf("%d is %s, to collector %v, to sensor %v", uint8(k), k, k.ToCollector(), k.ToSensor())
		}
		if k.Valid() != (want.toCollector || want.toSensor) {
			t.Errorf("%s valid: %v", k, k.Valid())
		}
	}
}
