package journal

import (
	"errors"
	"reflect"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

func sample(sensor string, seq uint64) *flow.Batch {
	return &flow.Batch{
		Sensor: sensor, Boot: 7, Seq: seq, Floor: seq - 1, Base: 1_700_000_000_000_000_000, Received: 1_700_000_000_000_000_123,
		Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}},
		Records: []flow.Record{{
			Key:     flow.Key{Version: 4, Proto: 17, Src: flow.Addr{Lo: 1}, Dst: flow.Addr{Lo: 2}, IfIndex: 2, DstPort: 53},
			Packets: 3, Bytes: 300, First: 1000, Last: 2000, EndReason: flow.EndIdle,
		}},
	}
}

func coded(batches ...*flow.Batch) []byte {
	message := appendHeader(nil)
	e := newEncoder()
	for _, b := range batches {
		body, _ := e.encode(b)
		message = appendEntry(message, b, body)
	}
	return message
}

func text(b []byte) string { return string(b) }

func TestMessage(t *testing.T) {
	want := []*flow.Batch{sample("edge-1", 1), sample("edge-2", 2), sample("edge-1", 3)}
	entries, err := readHeader(coded(want...))
	for i := 0; err == nil && len(entries) > 0; i++ {
		var b flow.Batch
		if entries, err = readEntry(entries, &b, text); err == nil {
			b.Body = nil
			if !reflect.DeepEqual(&b, want[i]) {
				t.Errorf("batch %d: %+v, want %+v", i, b, want[i])
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessageRefused(t *testing.T) {
	whole := coded(sample("edge-1", 1))
	for name, row := range map[string]struct {
		message []byte
		want    error
	}{
		"empty":          {nil, errMagic},
		"another thing":  {[]byte("fsx whatever"), errMagic},
		"newer version":  {[]byte{'f', 'j', messageVersion + 1}, errVersion},
		"no id":          {append(appendHeader(nil), 0), errMalformed},
		"long id":        {append(appendHeader(nil), 64), errMalformed},
		"cut in id":      {whole[:6], errMalformed},
		"cut in boot":    {whole[:12], errMalformed},
		"cut in body":    {whole[:len(whole)-1], errMalformed},
		"octet too many": {append(whole, 1), errMalformed},
	} {
		entries, err := readHeader(row.message)
		for err == nil && len(entries) > 0 {
			entries, err = readEntry(entries, new(flow.Batch), text)
		}
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(coded(sample("edge-1", 1), sample("edge-2", 2)))
	f.Fuzz(func(t *testing.T, message []byte) {
		entries, err := readHeader(message)
		for err == nil && len(entries) > 0 {
			var b flow.Batch
			before := len(entries)
			entries, err = readEntry(entries, &b, text)
			if err == nil && len(entries) >= before {
				t.Fatal("nothing was read")
			}
			if len(b.Records) > wire.MaxRecords {
				t.Fatal("too many records")
			}
		}
	})
}

// FuzzBlock holds that whatever a block has become, what is left of it is whole, and what is whole is left.
func FuzzBlock(f *testing.F) {
	f.Add([]byte("block"))
	f.Fuzz(func(t *testing.T, block []byte) {
		whole, bad := wholeRecords(block, "FLOWS-1")
		if len(whole)+bad != len(block) {
			t.Fatalf("%d octets are whole and %d bad, of %d", len(whole), bad, len(block))
		}
		if again, bad := wholeRecords(whole, "FLOWS-1"); bad != 0 || len(again) != len(whole) {
			t.Fatal("what was whole is not")
		}
	})
}

// The same in every release: a sensor's checkpoint is its shard's.
func TestShardOf(t *testing.T) {
	for sensor, want := range map[string]int{"edge-1": 6, "edge-2": 3, "a": 4} {
		if got := shardOf(sensor, 8); got != want {
			t.Errorf("shardOf(%q, 8) = %d, want %d", sensor, got, want)
		}
	}
}
