package wire_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"flowsensor/internal/wire"
)

// answers are those that the golden files keep.
func answers() map[string]wire.Answer {
	boot := uint64(noon)
	return map[string]wire.Answer{
		"plain": {Boot: boot, TX: 12},
		"acks": {
			Boot: boot, TX: 4711, Collector: "west-1", HasAcks: true,
			Acks: wire.Acks{Boot: boot, Upto: 300, Bits: []byte{0b10, 0, 0xff, 1}},
		},
		"earlier": {Boot: boot, TX: 3, HasAcks: true, Acks: wire.Acks{Boot: boot - 5, Upto: wire.MaxSeq}},
		"refusals": {
			Boot: boot, TX: 99, Collector: "c", Refusals: []wire.Refusal{
				{Reason: wire.RefusedParse, TX: 95},
				{Reason: wire.RefusedValidate, TX: 96},
				{Reason: wire.RefusedVersion, TX: 97},
				{Reason: wire.RefusedFull, TX: 98},
				{Reason: wire.RefusedClock, TX: 99, Offset: -30 * time.Second},
			},
		},
		"probe": {Boot: boot, TX: math.MaxUint64, Time: noon, Refusals: []wire.Refusal{{Reason: wire.RefusedClock, Offset: time.Hour}}},
	}
}

func TestAnswerComesBack(t *testing.T) {
	for name, a := range answers() {
		body, ok := wire.AppendAnswer([]byte("kept"), &a, 2000)
		if !ok {
			t.Fatalf("%s does not fit", name)
		}
		got, err := wire.ParseAnswer(body[4:])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Acks.Bits == nil && a.Acks.Bits == nil || len(got.Acks.Bits) == 0 && len(a.Acks.Bits) == 0 {
			got.Acks.Bits, a.Acks.Bits = nil, nil
		}
		if !reflect.DeepEqual(got, a) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, a)
		}
	}
}

func TestAcksName(t *testing.T) {
	a := wire.Acks{Upto: 300, Bits: []byte{0b10, 0, 0x81}}
	var named []uint64
	a.Each(func(seq uint64) { named = append(named, seq) })
	if want := []uint64{302, 317, 324}; !slices.Equal(named, want) || a.Highest() != 324 {
		t.Errorf("named %v, highest %d; want %v", named, a.Highest(), want)
	}
	a.Bits = nil
	if a.Highest() != 300 {
		t.Errorf("highest %d", a.Highest())
	}
}

// However little room there is, what is told is true.
func TestAnswerIsCut(t *testing.T) {
	a := wire.Answer{Boot: 1, TX: 2, Collector: "west-1", HasAcks: true, Acks: wire.Acks{Boot: 1, Upto: 9, Bits: bytes.Repeat([]byte{0x10}, 256)}}
	whole, ok := wire.AppendAnswer(nil, &a, math.MaxInt)
	if !ok {
		t.Fatal("does not fit")
	}
	least := 0
	for limit := len(whole); limit >= 0; limit-- {
		body, ok := wire.AppendAnswer(nil, &a, limit)
		if !ok {
			if len(body) != 0 {
				t.Fatalf("%d octets in spite of false", len(body))
			}
			continue
		}
		least = limit
		got, err := wire.ParseAnswer(body)
		if err != nil || len(body) > limit {
			t.Fatalf("limit %d: %d octets, %v", limit, len(body), err)
		}
		if !bytes.HasPrefix(a.Acks.Bits, got.Acks.Bits) || got.Acks.Upto != 9 {
			t.Fatalf("limit %d: %+v", limit, got)
		}
	}
	if least > 40 {
		t.Errorf("at least %d octets", least)
	}
}

func TestAnswerRefused(t *testing.T) {
	const fixed = "\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x00\x00\x00\x00\x02" // boot, tx
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"empty":             {"", wire.ErrTruncated},
		"coding":            {"\x01\x00" + fixed + "\x00", wire.ErrCoding},
		"unknown field":     {"\x00\x10" + fixed + "\x00", wire.ErrCoding},
		"boot without acks": {"\x00\x04" + fixed + "\x00", wire.ErrCoding},
		"cut":               {"\x00\x00" + fixed, wire.ErrTruncated},
		"collector":         {"\x00\x00" + fixed + "\x01 ", wire.ErrID},
		"collector too long": {
			"\x00\x00" + fixed + "\x40" + string(bytes.Repeat([]byte("a"), 64)), wire.ErrID,
		},
		"trailing":         {"\x00\x00" + fixed + "\x00\x00", wire.ErrTrailing},
		"time zero":        {"\x00\x01" + fixed + "\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00", wire.ErrValue},
		"time beyond":      {"\x00\x01" + fixed + "\x00" + "\xff\x00\x00\x00\x00\x00\x00\x00", wire.ErrValue},
		"same boot again":  {"\x00\x06" + fixed + "\x00" + fixed[:8] + "\x01\x00", wire.ErrValue},
		"bits end in zero": {"\x00\x02" + fixed + "\x00" + "\x01\x01\x00", wire.ErrValue},
		"bits too long":    {"\x00\x02" + fixed + "\x00" + "\x01\x81\x02" + string(bytes.Repeat([]byte{1}, 257)), wire.ErrValue},
		"bits missing":     {"\x00\x02" + fixed + "\x00" + "\x01\x05\x01", wire.ErrTruncated},
		"upto beyond":      {"\x00\x02" + fixed + "\x00" + "\x80\x80\x80\x80\x80\x80\x40\x00", wire.ErrValue},
		"bits beyond":      {"\x00\x02" + fixed + "\x00" + "\xff\xff\xff\xff\xff\xff\x3f\x01\x01", wire.ErrValue},
		"no refusal":       {"\x00\x08" + fixed + "\x00" + "\x00", wire.ErrCount},
		"many refusals":    {"\x00\x08" + fixed + "\x00" + "\x11", wire.ErrCount},
		"unknown refusal":  {"\x00\x08" + fixed + "\x00" + "\x01\x06" + fixed[:8], wire.ErrRefusal},
		"refusal zero":     {"\x00\x08" + fixed + "\x00" + "\x01\x00" + fixed[:8], wire.ErrRefusal},
		"offset beyond":    {"\x00\x08" + fixed + "\x00" + "\x01\x04" + fixed[:8] + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", wire.ErrValue},
	} {
		a, err := wire.ParseAnswer([]byte(c.body))
		if !errors.Is(err, c.want) || !reflect.DeepEqual(a, wire.Answer{}) {
			t.Errorf("%s: %v, %+v; want %v", name, err, a, c.want)
		}
	}
}

func TestProbe(t *testing.T) {
	body := wire.AppendProbe(nil)
	if err := wire.ParseProbe(body); err != nil {
		t.Error(err)
	}
	a := answers()["probe"]
	a.Collector = string(bytes.Repeat([]byte("a"), wire.MaxID))
	if _, ok := wire.AppendAnswer(nil, &a, len(body)); !ok {
		t.Error("the answer to a probe is longer than the probe")
	}
	for name, c := range map[string]struct {
		body []byte
		want error
	}{
		"empty":   {nil, wire.ErrTruncated},
		"coding":  {[]byte{1}, wire.ErrCoding},
		"long":    {make([]byte, wire.MaxProbe+1), wire.ErrTrailing},
		"padding": {append(body, 1), wire.ErrPadding},
	} {
		if err := wire.ParseProbe(c.body); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusalReasons(t *testing.T) {
	for r := range wire.RefusalReason(10) {
		if r.String() == "" || r.Valid() != (r >= 1 && r <= 5) || r.Permanent() && !r.Valid() {
			t.Errorf("%d: %s", r, r)
		}
	}
}

// checkAnswer holds ParseAnswer to its promises, whatever the body.
func checkAnswer(t *testing.T, body []byte) {
	t.Helper()
	_ = wire.ParseProbe(body)
	a, err := wire.ParseAnswer(body)
	if err != nil {
		if !reflect.DeepEqual(a, wire.Answer{}) {
			t.Fatalf("not nothing in spite of an error: %+v", a)
		}
		return
	}
	n := 0
	a.Acks.Each(func(seq uint64) {
		if n++; seq <= a.Acks.Upto || seq > a.Acks.Highest() {
			t.Fatalf("%d is named by %+v", seq, a.Acks)
		}
	})
	if len(a.Refusals) > wire.MaxRefusals || n > wire.MaxOutstanding {
		t.Fatalf("%d refusals, %d bits", len(a.Refusals), n)
	}
	again, ok := wire.AppendAnswer(nil, &a, len(body))
	if !ok || !bytes.Equal(again, body) {
		t.Fatalf("encoded again it is\n% x\nnot\n% x", again, body)
	}
}
