package rollup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/rollup"
)

// Beyond its bounds nothing is lost, and no more rows are made than the bounds say.
func TestBounds(t *testing.T) {
	c := config()
	c.Traffic.MaxKeys, c.Conversation.Top, c.Activities.MaxKeys = 100, 10, 100
	w := newWorld(1)
	w.hosts = 5000
	batches := w.batches(30, 20)
	d := database{}
	d.write(closed(t, c, window, batches))
	d.check(t, sumOf(batches))
	for measurement, most := range map[string]int{"traffic": 100, "conversation": 10, "activities": 100} {
		own, others := 0, 0
		for _, r := range d.ofMeasurement(measurement) {
			if strings.Contains(text(&r), "other") {
				others++
			} else {
				own++
			}
		}
		if own != most || others == 0 {
			t.Errorf("%s has %d rows of their own and %d of others, want %d", measurement, own, others, most)
		}
	}
}

// The conversations that keep a row are those with the most bytes.
func TestTopConversations(t *testing.T) {
	c := config()
	c.Conversation.Top = 5
	b := &flow.Batch{Sensor: "edge-1"}
	for i := range uint64(20) {
		b.Records = append(b.Records, flow.Record{
			Key:   flow.Key{Version: 4, Src: flow.Addr{Lo: 1 + i}, Dst: flow.Addr{Lo: 99}, SrcPort: 5000, DstPort: 80, Proto: flow.ProtoTCP},
			Bytes: 100 * (i%10 + 1), Packets: 1, First: noon, Last: noon, EndReason: flow.EndIdle,
		})
	}
	d := database{}
	d.write(closed(t, c, window, []*flow.Batch{b}))
	var kept []uint64
	for _, r := range d.ofMeasurement("conversation") {
		kept = append(kept, field(&r, "bytes"))
	}
	// Of the two with 800 the one with the lower address stays.
	if want := []uint64{800, 900, 1000, 900, 1000, 11000 - 4600}; !slices.Equal(kept, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
}

// Times that no row can say are counted by reason, and lose nothing.
func TestUnusualTimes(t *testing.T) {
	record := func(first, last int64) flow.Record {
		return flow.Record{
			Key:   flow.Key{Version: 4, Src: flow.Addr{Lo: 1}, Dst: flow.Addr{Lo: 2}, SrcPort: 2000, DstPort: 53, Proto: flow.ProtoUDP},
			Bytes: 1_000_003, Packets: 17, First: first, Last: last, EndReason: flow.EndIdle,
		}
	}
	for name, c := range map[string]struct {
		record flow.Record
		want   map[rollup.Reason]uint64
		from   int64 // where rows may lie
		to     int64
	}{
		"on time":       {record(noon-second, noon), nil, noon - 10*second, noon + 10*second},
		"an hour late":  {record(noon-2*60*minute, noon-61*minute), map[rollup.Reason]uint64{rollup.Late: 1}, noon - 2*60*minute, noon - 60*minute},
		"from 1970":     {record(0, 5), map[rollup.Reason]uint64{rollup.Late: 1, rollup.TooLate: 1}, noon - 49*60*minute, noon - 3*60*minute},
		"in a year":     {record(noon+8760*60*minute, noon+8760*60*minute), map[rollup.Reason]uint64{rollup.Ahead: 1}, noon, noon + 80*second},
		"all of time":   {record(0, flow.MaxTime), map[rollup.Reason]uint64{rollup.Ahead: 1, rollup.TooLong: 1}, noon, noon + 80*second},
		"for two hours": {record(noon-120*minute, noon), map[rollup.Reason]uint64{rollup.TooLong: 1}, noon - 60*minute, noon + 10*second},
	} {
		s, err := rollup.NewShard(config())
		if err != nil {
			t.Fatal(err)
		}
		b := &flow.Batch{Sensor: "edge-1", Records: []flow.Record{c.record}}
		s.Open(window, networks)
		s.Add(b, attribute(b))
		d := database{}
		d.write(s.Close(rollup.Full))
		d.check(t, sumOf([]*flow.Batch{b}))
		st := s.Stats()
		for reason := range rollup.Reason(len(st.Unusual)) {
			if st.Unusual[reason] != c.want[reason] {
				t.Errorf("%s: %d %s, want %d", name, st.Unusual[reason], reason, c.want[reason])
			}
		}
		for _, measurement := range []string{"traffic", "activities"} {
			for at := range d.sums(measurement, 10*second) {
				if at < c.from || at >= c.to {
					t.Errorf("%s: %s has a row at noon%+ds", name, measurement, (at-noon)/second)
				}
			}
		}
	}
}

// What a rule discards, and what no sensor makes, is counted and in no measurement.
func TestDiscarded(t *testing.T) {
	w := newWorld(1)
	batches := w.batches(1, 10)
	batches[0].Records[3].ToS = 0xff
	batches[0].Records[4].Packets = 0
	s, err := rollup.NewShard(config())
	if err != nil {
		t.Fatal(err)
	}
	s.Open(window, networks)
	s.Add(batches[0], attribute(batches[0]))
	d := database{}
	d.write(s.Close(rollup.Full))
	d.check(t, sumOf(batches))
	if st := s.Stats(); st.Discarded != 1 || st.Invalid != 1 || st.Records != 8 {
		t.Errorf("%+v", st)
	}
}

// A sensor that makes up interfaces takes no other sensor's name away.
func TestInventedInterfaces(t *testing.T) {
	record := flow.Record{
		Key:   flow.Key{Version: 4, Src: flow.Addr{Lo: 1}, Dst: flow.Addr{Lo: 2}, Proto: flow.ProtoUDP},
		Bytes: 100, Packets: 1, First: noon, Last: noon, EndReason: flow.EndIdle,
	}
	var batches []*flow.Batch
	for n := range uint32(300) {
		b := &flow.Batch{Sensor: "made-up", Base: noon}
		for i := range uint32(256) {
			record.IfIndex = 256*n + i + 1
			b.Records = append(b.Records, record)
		}
		batches = append(batches, b)
	}
	record.IfIndex = 2
	batches = append(batches, &flow.Batch{Sensor: "late", Base: noon, Records: []flow.Record{record}})
	c := config()
	c.Conversation.Interval, c.Activities.MaxKeys = 0, 0
	rows := gather(t, c, batches)
	late := slices.IndexFunc(rows, func(row string) bool { return strings.Contains(row, ",sensor=late,") })
	if late < 0 {
		t.Error("a sensor that came late has no row of its own")
	}
	var sum int
	for _, row := range rows {
		_, fields, _ := strings.Cut(row, " bytes=")
		var bytes int
		if _, err := fmt.Sscanf(fields, "%d", &bytes); err != nil {
			t.Fatal(err)
		}
		sum += bytes
	}
	if want := 100 * (300*256 + 1); sum != want {
		t.Errorf("%d bytes in the rows, want %d", sum, want)
	}
}
