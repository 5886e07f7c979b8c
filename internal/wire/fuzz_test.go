package wire_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

// FuzzParse: whatever a peer sends, no panic, no memory beyond the bound; and what is understood means the same when it
// is encoded again.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.bin")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		plaintext, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plaintext)
	}
	for seed := range uint64(8) {
		f.Add(plaintextOf(f, newTraffic(seed).named(1+int(seed)*3)))
	}
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		h, body, err := wire.ParseHeader(plaintext)
		if err != nil {
			if body != nil {
				t.Fatal("a body in spite of an error")
			}
			return
		}
		checkAnswer(t, body)
		if n := wire.HeaderLen(len(h.ID)); len(body) != len(plaintext)-n {
			t.Fatalf("a header of %d octets leaves %d of %d", n, len(body), len(plaintext))
		}
		checkFlows(t, body)
	})
}

// checkFlows holds ParseFlows to its promises, whatever the body.
func checkFlows(t *testing.T, body []byte) {
	t.Helper()
	var b flow.Batch
	err := wire.ParseFlows(body, &b)
	if most := len(body) / 6; cap(b.Records) > most+most/4+8 || len(b.Records) > wire.MaxRecords || cap(b.Interfaces) > 2*wire.MaxInterfaces {
		t.Fatalf("%d octets take room for %d records and %d interfaces", len(body), cap(b.Records), cap(b.Interfaces))
	}
	if err != nil {
		if !reflect.DeepEqual(b, flow.Batch{Records: b.Records[:0], Interfaces: b.Interfaces[:0]}) {
			t.Fatalf("not nothing in spite of an error: %+v", b)
		}
		return
	}
	again := encodeBatch(t, &b)
	var second flow.Batch
	if err := wire.ParseFlows(again, &second); err != nil {
		t.Fatalf("what was parsed does not parse when it is encoded again: %v", err)
	}
	if !reflect.DeepEqual(b, second) {
		t.Fatalf("encoded again it is another batch:\n%+v\n%+v", b, second)
	}
	if third := encodeBatch(t, &second); !bytes.Equal(third, again) {
		t.Fatal("the encoder is not canonical")
	}
}

func encodeBatch(t *testing.T, b *flow.Batch) []byte {
	t.Helper()
	e := wire.NewFlowsEncoder(math.MaxInt)
	for i := range b.Records {
		if !e.Add(&b.Records[i], b.InterfaceName(b.Records[i].IfIndex)) {
			t.Fatalf("record %d does not fit", i)
		}
	}
	return e.AppendBody(nil, wire.Numbers{Boot: b.Boot, Seq: b.Seq, Floor: b.Floor, Base: b.Base})
}

// FuzzEncode: records of any content survive, as many as fit, and the limit holds.
func FuzzEncode(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint16(wire.MinBody+seed*50), []byte{byte(seed), 1, 2, 3}, "eth0")
	}
	f.Fuzz(func(t *testing.T, seed uint64, limit uint16, raw []byte, name string) {
		records := newTraffic(seed).some(1 + int(seed%64))
		spoil(records, raw)
		e := wire.NewFlowsEncoder(int(limit))
		n := 0
		for n < len(records) && e.Add(&records[n], name) {
			n++
		}
		if n == 0 {
			if limit >= wire.MinBody {
				t.Fatal("not one record fits")
			}
			return
		}
		body := e.AppendBody(nil, wire.Numbers{Seq: wire.MaxSeq, Floor: wire.MaxSeq})
		if len(body) > int(limit) || len(body) != e.Size() {
			t.Fatalf("%d octets, said to be %d, the limit is %d", len(body), e.Size(), limit)
		}
		var b flow.Batch
		if err := wire.ParseFlows(body, &b); err != nil {
			t.Fatal(err)
		}
		want := inMicros(records[:n])
		for i := range b.Records {
			if b.Records[i] != want[i] {
				t.Fatalf("record %d:\ngot  %+v\nwant %+v", i, b.Records[i], want[i])
			}
		}
	})
}

// spoil writes the fuzzer's octets into the numbers of the records, two octets after a field's number.
func spoil(records []flow.Record, raw []byte) {
	for ; len(raw) >= 4; raw = raw[4:] {
		r := &records[int(raw[0])%len(records)]
		v := binary.BigEndian.Uint16(raw[2:])
		wide := uint64(v) << (raw[1] >> 4 * 4)
		switch raw[1] & 15 {
		case 0:
			r.Src.Hi = wide
		case 1:
			r.Src.Lo = wide
		case 2:
			r.Dst = records[0].Src
		case 3:
			r.SrcPort = v
		case 4:
			r.DstPort = r.SrcPort
		case 5:
			r.Version = uint8(v)
		case 6:
			r.EndReason = flow.EndReason(v)
		case 7:
			r.Bytes = wide
		case 8:
			r.Packets = wide
		case 9:
			r.First = max(int64(wide), math.MinInt64+1000)
		case 10:
			r.Last = max(-int64(wide), math.MinInt64+1000)
		case 11:
			r.NextHop.Lo = wide
		case 12:
			r.SrcMask = uint8(v)
		case 13:
			r.Key.VLAN = flow.VLAN(v)
		case 14:
			r.IfIndex = uint32(wide)
		case 15:
			*r = records[len(records)-1]
		}
	}
}
