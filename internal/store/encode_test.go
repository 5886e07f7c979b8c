package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
)

func addr(text string) flow.Addr {
	a, _ := flow.AddrFrom(netip.MustParseAddr(text))
	return a
}

// record gives a valid record; every field that may be absent sometimes is.
func record(r *rand.Rand) flow.Record {
	maybe := func(n uint32) uint32 { return n * uint32(r.IntN(2)) }
	rec := flow.Record{
		Key: flow.Key{
			Src: flow.Addr{Lo: uint64(r.Uint32())}, Dst: flow.Addr{Lo: uint64(r.Uint32())}, Version: 4,
			SrcPort: uint16(r.Uint32()), DstPort: uint16(r.Uint32()), Proto: uint8(r.Uint32()), ToS: uint8(r.Uint32()), IfIndex: 1 + r.Uint32N(3),
		},
		Bytes: r.Uint64N(flow.MaxCount + 1), Packets: 1 + r.Uint64N(flow.MaxCount), TCPFlags: uint16(r.Uint32N(1 << 12)),
		EndReason: flow.EndReason(1 + r.IntN(7)), Handshake: uint8(r.IntN(4)),
		NextHop: flow.Addr{Lo: uint64(maybe(r.Uint32()))}, OutIf: maybe(r.Uint32()), SrcAS: maybe(r.Uint32()), DstAS: maybe(r.Uint32()),
		Sampling: maybe(r.Uint32()), SrcMask: uint8(maybe(r.Uint32N(34))), DstMask: uint8(maybe(r.Uint32N(34))),
	}
	if r.IntN(2) == 1 {
		rec.Version, rec.Src.Hi, rec.Dst.Hi, rec.NextHop.Hi = 6, r.Uint64(), r.Uint64(), uint64(maybe(r.Uint32()))
	}
	if r.IntN(2) == 1 {
		rec.VLAN = flow.VLANFromTCI(uint16(r.Uint32()))
	}
	if r.IntN(2) == 1 {
		rec.VLANInner = flow.VLANFromTCI(uint16(r.Uint32()))
	}
	rec.First = r.Int64N(flow.MaxTime)
	rec.Last = rec.First + r.Int64N(flow.MaxTime-rec.First)
	return rec
}

func batch(r *rand.Rand, records int) *flow.Batch {
	b := &flow.Batch{
		Sensor: "edge-1", Base: 1_700_000_000_000_000_000 + r.Int64N(1e15),
		Interfaces: []flow.Interface{{Index: 1, Name: "eth0"}, {Index: 2, Name: "eth1.100"}},
	}
	for range records {
		b.Records = append(b.Records, record(r))
	}
	return b
}

// point is a line as the database understands it.
type point struct {
	Measurement string
	Tags        []string // "key=value", in their order
	Fields      map[string]any
	Time        int64
}

// parse reads lines with the library's decoder.
func parse(t *testing.T, text []byte) []point {
	t.Helper()
	var points []point
	d := lineprotocol.NewDecoderWithBytes(text)
	for d.Next() {
		p, err := parsePoint(d)
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		points = append(points, p)
	}
	return points
}

func parsePoint(d *lineprotocol.Decoder) (point, error) {
	m, err := d.Measurement()
	if err != nil {
		return point{}, err
	}
	p := point{Measurement: string(m), Fields: make(map[string]any)}
	for key, value, err := d.NextTag(); key != nil || err != nil; key, value, err = d.NextTag() {
		if err != nil {
			return point{}, err
		}
		p.Tags = append(p.Tags, string(key)+"="+string(value))
	}
	for key, value, err := d.NextField(); key != nil || err != nil; key, value, err = d.NextField() {
		if err != nil {
			return point{}, err
		}
		if _, twice := p.Fields[string(key)]; twice {
			return point{}, fmt.Errorf("field %s twice", key)
		}
		p.Fields[string(key)] = value.Interface()
	}
	at, err := d.Time(lineprotocol.Nanosecond, time.Time{})
	if err == nil && at.IsZero() {
		err = errors.New("no time")
	}
	p.Time = at.UnixNano()
	return p, err
}

// want is what contract.md section 6 makes of a record, written down a second time.
func want(b *flow.Batch, i int, iface string) point {
	r := &b.Records[i]
	f := map[string]any{
		"src": r.Src.Netip(r.Version).String(), "dst": r.Dst.Netip(r.Version).String(), "end_reason": r.EndReason.String(),
		"src_port": int64(r.SrcPort), "dst_port": int64(r.DstPort), "tos": int64(r.ToS), "if_index": int64(r.IfIndex),
		"bytes": int64(r.Bytes), "packets": int64(r.Packets), "first": r.First / 1000, "last": r.Last / 1000,
		"tcp_flags": int64(r.TCPFlags), "handshake": int64(r.Handshake),
	}
	for name, v := range map[string]uint32{"out_if": r.OutIf, "src_as": r.SrcAS, "dst_as": r.DstAS, "sampling": r.Sampling} {
		if v != 0 {
			f[name] = int64(v)
		}
	}
	for name, v := range map[string]flow.VLAN{"vlan": r.VLAN, "vlan_inner": r.VLANInner} {
		if id, ok := v.ID(); ok {
			f[name] = int64(id)
		}
	}
	for name, v := range map[string]uint8{"src_mask": r.SrcMask, "dst_mask": r.DstMask} {
		if v != 0 {
			f[name] = int64(v) - 1
		}
	}
	if !r.NextHop.IsZero() {
		f["next_hop"] = r.NextHop.Netip(r.Version).String()
	}
	return point{
		Measurement: "flow", Time: b.Base + int64(i), Fields: f,
		Tags: []string{"iface=" + iface, fmt.Sprintf("proto=%d", r.Proto), "sensor=" + b.Sensor},
	}
}

func mustEncode(t *testing.T, lines *store.Lines, b *flow.Batch) {
	t.Helper()
	store.NewEncoder().Encode(lines, b, func(i int, why store.DeadReason, cause error) {
		t.Errorf("record %d is refused: %s: %v", i, why, cause)
	})
}

func TestEncodeLine(t *testing.T) {
	b := &flow.Batch{
		Sensor: "edge-1", Base: 1_700_000_000_000_000_000, Interfaces: []flow.Interface{{Index: 2, Name: "eth 0,a=b"}},
		Records: []flow.Record{
			{
				Key: flow.Key{
					Src: addr("192.0.2.1"), Dst: addr("198.51.100.7"), SrcPort: 40000, DstPort: 443, Proto: 6, ToS: 8, IfIndex: 2, Version: 4,
				},
				Bytes: 1500, Packets: 3, First: 1_700_000_000_123_456_789, Last: 1_700_000_001_000_000_000,
				TCPFlags: flow.SYN | flow.ACK, Handshake: flow.SawSYN, EndReason: flow.EndFIN,
			},
			{
				Key:   flow.Key{Src: addr("2001:db8::1"), Dst: addr("::ffff:192.0.2.1"), DstPort: 0x8000, Proto: 58, IfIndex: 7, Version: 6},
				Bytes: 1, Packets: 1, EndReason: flow.EndIdle, VLAN: flow.VLANFromTCI(0), SrcMask: 1, NextHop: addr("fe80::1"), Sampling: 100,
			},
		},
	}
	var lines store.Lines
	mustEncode(t, &lines, b)
	const wanted = `flow,iface=eth\ 0\,a\=b,proto=6,sensor=edge-1 src="192.0.2.1",dst="198.51.100.7",src_port=40000i,dst_port=443i,tos=8i,if_index=2i,` +
		`bytes=1500i,packets=3i,first=1700000000123456i,last=1700000001000000i,tcp_flags=18i,handshake=1i,end_reason="fin" 1700000000000000000` + "\n" +
		`flow,iface=7,proto=58,sensor=edge-1 src="2001:db8::1",dst="::ffff:192.0.2.1",src_port=0i,dst_port=32768i,tos=0i,if_index=7i,` +
		`bytes=1i,packets=1i,first=0i,last=0i,tcp_flags=0i,handshake=0i,end_reason="idle",vlan=0i,next_hop="fe80::1",src_mask=0i,sampling=100i ` +
		"1700000000000000001\n"
	if got := string(lines.Bytes()); got != wanted {
		t.Errorf("got\n%swant\n%s", got, wanted)
	}
	if lines.Len() != 2 || lines.Count() != (store.Count{Records: 2, Packets: 4, Bytes: 1501}) {
		t.Errorf("%d lines for %+v", lines.Len(), lines.Count())
	}
}

// TestEncodeRandom reads back every field of many records, also those of several batches in one Lines.
func TestEncodeRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	iface := map[uint32]string{1: "eth0", 2: "eth1.100", 3: "3"}
	var lines store.Lines
	var wanted []point
	for range 50 {
		b := batch(r, 1+r.IntN(60))
		for i := range b.Records {
			wanted = append(wanted, want(b, i, iface[b.Records[i].IfIndex]))
		}
		mustEncode(t, &lines, b)
	}
	if diff := cmp.Diff(wanted, parse(t, lines.Bytes())); diff != "" {
		t.Error(diff)
	}
}

// hostile names and what becomes of them.
var hostile = map[string]string{
	"":                             "2",
	"eth0":                         "eth0",
	"a b":                          "a b",
	"a,b=c":                        "a,b=c",
	`"quoted"`:                     `"quoted"`,
	"eth0\nflow,x=y v=1i 1":        "eth0_flow,x=y v=1i 1",
	"\x00\x01\x7f":                 "___",
	"\r\n":                         "__",
	`\`:                            "_",
	`C:\`:                          "C:_",
	`\Device\NPF_{1B2C}`:           `\Device\NPF_{1B2C}`,
	`a\,b`:                         `a\,b`,
	`a\ b`:                         `a\ b`,
	`a\\`:                          `a\_`,
	"\xff\xfeeth":                  "\ufffdeth",
	"ünïcode☃":                     "ünïcode☃",
	"#comment":                     "#comment",
	" ":                            " ",
	" lead and trail ":             " lead and trail ",
	strings.Repeat("x", 300):       strings.Repeat("x", 255),
	strings.Repeat("☃", 100):       strings.Repeat("☃", 85),
	strings.Repeat(`\`, 300):       strings.Repeat(`\`, 254) + "_",
	"x" + strings.Repeat("é", 200): "x" + strings.Repeat("é", 127),
}

func TestEncodeHostileNames(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, becomes := range hostile {
		b := batch(r, 1)
		b.Records[0].IfIndex, b.Interfaces = 2, []flow.Interface{{Index: 2, Name: name}}
		var lines store.Lines
		mustEncode(t, &lines, b)
		if n := bytes.Count(lines.Bytes(), []byte("\n")); n != 1 {
			t.Errorf("%q makes %d lines: %q", name, n, lines.Bytes())
		}
		if diff := cmp.Diff([]point{want(b, 0, becomes)}, parse(t, lines.Bytes())); diff != "" {
			t.Errorf("%q: %s", name, diff)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, c := range map[string]struct {
		spoil func(*flow.Batch)
		why   store.DeadReason
		lost  []int
	}{
		"invalid record":    {func(b *flow.Batch) { b.Records[1].Version = 5 }, store.DeadRecordInvalid, []int{1}},
		"no end reason":     {func(b *flow.Batch) { b.Records[0].EndReason = 0 }, store.DeadRecordInvalid, []int{0}},
		"negative time":     {func(b *flow.Batch) { b.Base = -1 }, store.DeadTimeOutOfRange, []int{0, 1, 2}},
		"time at the limit": {func(b *flow.Batch) { b.Base = flow.MaxTime - 1 }, store.DeadTimeOutOfRange, []int{2}},
		"overflowing time":  {func(b *flow.Batch) { b.Base = 1<<63 - 2 }, store.DeadTimeOutOfRange, []int{0, 1, 2}},
		"no sensor":         {func(b *flow.Batch) { b.Sensor = "" }, store.DeadLineInvalid, []int{0, 1, 2}},
	} {
		b := batch(r, 3)
		c.spoil(b)
		var lines store.Lines
		var lost []int
		store.NewEncoder().Encode(&lines, b, func(i int, why store.DeadReason, cause error) {
			lost = append(lost, i)
			if why != c.why || cause == nil {
				t.Errorf("%s: record %d is refused for %s (%v), want %s", name, i, why, cause, c.why)
			}
		})
		if diff := cmp.Diff(c.lost, lost); diff != "" {
			t.Errorf("%s: refused %s", name, diff)
		}
		if points := parse(t, lines.Bytes()); len(points) != 3-len(c.lost) || lines.Len() != len(points) {
			t.Errorf("%s: %d lines, %d points", name, lines.Len(), len(points))
		}
	}
}

// The names go to the ends of the record, whichever of them is the client; what a line cannot hold is made fit.
func TestEncodeAttributions(t *testing.T) {
	b := batch(rand.New(rand.NewPCG(9, 10)), 4)
	b.Attributions = []flow.Attribution{
		{ClientASName: "Ünï, \"Inc.\"", ServerASName: "two\nlines=1i"},
		{FromServer: true, ClientASName: "client", ServerASName: "server"},
		{ClientASName: "\xff", ServerASName: `\`},
		{},
	}
	var lines store.Lines
	mustEncode(t, &lines, b)
	var got [][2]any
	for _, p := range parse(t, lines.Bytes()) {
		got = append(got, [2]any{p.Fields["src_as_name"], p.Fields["dst_as_name"]})
	}
	wanted := [][2]any{{"Ünï, \"Inc.\"", "two_lines=1i"}, {"server", "client"}, {"\ufffd", "_"}, {nil, nil}}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	b := batch(rand.New(rand.NewPCG(7, 8)), 100)
	b.Attributions = slices.Repeat([]flow.Attribution{{ClientASName: "client", ServerASName: "server"}}, 100)
	e := store.NewEncoder()
	var lines store.Lines
	refuse := func(int, store.DeadReason, error) { t.Error("refused") }
	e.Encode(&lines, b, refuse)
	store.Reset(&lines)
	if n := testing.AllocsPerRun(100, func() {
		store.Reset(&lines)
		e.Encode(&lines, b, refuse)
	}); n != 0 {
		t.Errorf("%v allocations for 100 lines", n)
	}
}

func FuzzEncode(f *testing.F) {
	for name := range hostile {
		f.Add("edge-1", name, uint64(1), int64(0))
	}
	f.Fuzz(func(t *testing.T, sensor, name string, seed uint64, base int64) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := batch(r, 1+r.IntN(3))
		b.Sensor, b.Base = sensor, base
		for i := range b.Interfaces {
			b.Interfaces[i].Name = name
		}
		var lines store.Lines
		refused := 0
		store.NewEncoder().Encode(&lines, b, func(int, store.DeadReason, error) { refused++ })
		if valid := sensor != "" && base >= 0 && base <= flow.MaxTime-3; valid && refused > 0 {
			t.Fatalf("%d of %d records refused", refused, len(b.Records))
		}
		points := parse(t, lines.Bytes())
		if len(points)+refused != len(b.Records) || lines.Len() != len(points) {
			t.Fatalf("%d records became %d lines, %d points and %d refused", len(b.Records), lines.Len(), len(points), refused)
		}
		if refused == 0 {
			checkPoints(t, b, points)
		}
	})
}

// checkPoints compares the points with the batch they came from, up to what became of its names.
func checkPoints(t *testing.T, b *flow.Batch, points []point) {
	t.Helper()
	for i, p := range points {
		iface, _ := strings.CutPrefix(p.Tags[0], "iface=")
		tag, _ := strings.CutPrefix(p.Tags[2], "sensor=")
		if !utf8.ValidString(iface+tag) || strings.ContainsAny(iface+tag, "\n\r\x00\x7f") || iface == "" {
			t.Fatalf("tags %q", p.Tags)
		}
		clean := *b
		clean.Sensor = tag
		if diff := cmp.Diff(want(&clean, i, iface), p); diff != "" {
			t.Fatal(diff)
		}
	}
}
