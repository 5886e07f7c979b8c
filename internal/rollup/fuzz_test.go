package rollup_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/rollup"
)

// fuzzed reads batches from any bytes: 40 of them make a record, and the first says where a batch ends.
func fuzzed(data []byte) []*flow.Batch {
	b := &flow.Batch{Sensor: "edge-0"}
	all := []*flow.Batch{b}
	for ; len(data) >= 40; data = data[40:] {
		if data[0]%8 == 0 {
			b = &flow.Batch{Sensor: string(data[1:3])}
			all = append(all, b)
		}
		u64 := binary.LittleEndian.Uint64
		r := flow.Record{
			Key: flow.Key{
				Version: 4, Src: flow.Addr{Lo: uint64(data[3])}, Dst: flow.Addr{Lo: uint64(data[4])}, IfIndex: uint32(data[5]),
				SrcPort: binary.LittleEndian.Uint16(data[6:]), DstPort: binary.LittleEndian.Uint16(data[8:]), Proto: data[10], ToS: data[11],
			},
			// Not more than a sum can hold.
			Packets: 1 + u64(data[16:])>>(8+data[12]%56), Bytes: u64(data[24:]) >> (8 + data[13]%56), EndReason: flow.EndIdle,
		}
		// Times around the window, and now and then from anywhere.
		r.First = noon - int64(binary.LittleEndian.Uint32(data[32:]))*1000
		if data[14]%8 == 0 {
			r.First = int64(u64(data[32:]) % uint64(flow.MaxTime))
		}
		length := int64(binary.LittleEndian.Uint32(data[36:])) << (data[15] % 5)
		if data[14]%32 == 1 {
			length <<= 19
		}
		r.Last = min(r.First+length, flow.MaxTime)
		b.Records = append(b.Records, r)
	}
	return all
}

// FuzzSums holds the sums for any records, any bounds, and any order.
func FuzzSums(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		seed := make([]byte, 40*20)
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(seed, uint16(r.Uint32N(100)))
	}
	f.Fuzz(func(t *testing.T, data []byte, most uint16) {
		batches := fuzzed(data[:min(len(data), 40*24)])
		c := config()
		c.Traffic.MaxKeys, c.Conversation.Top, c.Activities.MaxKeys = int(most)+1, int(most)+1, 20*int(most)+1
		d := database{}
		d.write(closed(t, c, window, batches))
		d.check(t, sumOf(batches))
		c = config()
		c.Activities.MaxKeys = 0
		want := gather(t, c, batches)
		slices.Reverse(batches)
		if got := gather(t, c, batches); !slices.Equal(got, want) {
			t.Error("other rows in another order")
		}
	})
}

// FuzzTags never accepts what it does not know.
func FuzzTags(f *testing.F) {
	f.Add("sensor")
	f.Add("iface")
	f.Fuzz(func(t *testing.T, name string) {
		tags, err := rollup.ParseTags([]string{name}, rollup.TrafficTags)
		if (err == nil) != (len(tags.Names()) == 1 && tags.Names()[0] == name) {
			t.Errorf("%q made %v, %v", name, tags.Names(), err)
		}
	})
}
