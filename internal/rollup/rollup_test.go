package rollup_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/rollup"
)

const window = noon / (10 * second) // the number of the window at noon

// One record in detail: shares, tags, times.
func TestRowsOfOneRecord(t *testing.T) {
	r := flow.Record{
		Key: flow.Key{
			Version: 4, Src: flow.Addr{Lo: 0x0a000003}, Dst: flow.Addr{Lo: 0xc0000201}, SrcPort: 40000, DstPort: 443, IfIndex: 2,
			Proto: flow.ProtoTCP, ToS: 8,
		},
		Bytes: 1000, Packets: 7, First: noon - 15*second, Last: noon + 5*second, TCPFlags: flow.SYN | flow.ACK, EndReason: flow.EndFIN,
	}
	b := &flow.Batch{Sensor: "edge-1", Base: noon, Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}, Records: []flow.Record{r}}
	c := config()
	c.Shard = "3"
	got := gather(t, c, []*flow.Batch{b})
	// 20 s: a quarter before noon-10s, half after it, a quarter after noon. 7 packets: 1.75, 5.25 and 7, rounded down.
	// The slot is the windows since the interval, plus 8 for windows that come before theirs.
	const slot = 1 << 19
	tags := "client_network=unknown,direction=out,iface=eth0,proto=6,sensor=edge-1,server_network=office,service=443,shard=3"
	tags = strings.Replace(tags, "direction=out", "direction="+flow.Direction(r.Src.Lo%5).String(), 1)
	tags = strings.Replace(tags, "client_network=unknown", "client_network="+networks.Name(flow.NetworkID(r.Src.Lo%3)), 1)
	tags = strings.Replace(tags, "server_network=office", "server_network="+networks.Name(flow.NetworkID(r.Dst.Lo%3)), 1)
	want := []string{
		fmt.Sprintf("traffic,%s bytes=250,packets=1,flows=0 %d", tags, noon-20*second+10*slot),
		fmt.Sprintf("traffic,%s bytes=500,packets=4,flows=0 %d", tags, noon-10*second+9*slot),
		fmt.Sprintf("traffic,%s bytes=250,packets=2,flows=1 %d", tags, noon+8*slot),
	}
	between := `client="10.0.0.3",server="192.0.2.1",service_port=443`
	as := fmt.Sprintf(",client_ports=1,server_as=%d", r.Dst.Lo%7)
	for _, m := range []struct {
		bytes, packets, flows int
		at                    int64
	}{{750, 5, 0, noon - minute + 14*slot}, {250, 2, 1, noon + 8*slot}} {
		want = append(want, fmt.Sprintf("conversation,proto=6,sensor=edge-1,service=443,shard=3 %s,bytes=%d,packets=%d,flows=%d,"+
			"bytes_to_server=%d,bytes_to_client=0,packets_to_server=%d,packets_to_client=0%s %d",
			between, m.bytes, m.packets, m.flows, m.bytes, m.packets, as, m.at))
	}
	if rows := got[:5]; !slices.Equal(rows, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	if len(got) != 25 {
		t.Fatalf("%d rows, want 20 seconds of activities beside 5 others", len(got))
	}
	if want := fmt.Sprintf("activities,agent=edge-1,dst_ip=192.0.2.1,dst_port=443,ethertype=2048,flags=SA,ifname=eth0,proto=6,"+
		"src_ip=10.0.0.3,src_port=40000,tos=8,shard=3 bytes=50,packets=0,flows=1 %d", noon-15*second+9*slot); got[5] != want {
		t.Errorf("got\n%s\nwant\n%s", got[5], want)
	}
}

// Whatever the times and counts, all measurements add up to what went in, and every minute of traffic to that minute of
// conversations.
func TestSumsAgree(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(seed)
		batches := w.batches(10, 12)
		d := database{}
		d.write(closed(t, config(), window, batches))
		d.check(t, sumOf(batches))
		traffic, conversation := d.sums("traffic", minute), d.sums("conversation", minute)
		if len(traffic) < 2 || len(traffic) != len(conversation) {
			t.Fatalf("%d minutes of traffic, %d of conversations", len(traffic), len(conversation))
		}
		for at, s := range traffic {
			if conversation[at] != s {
				t.Errorf("minute %d: traffic %+v, conversations %+v", at, s, conversation[at])
			}
		}
	}
}

// The order of the batches of a window does not matter.
func TestOrderDoesNotMatter(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(seed)
		batches := w.batches(10, 12)
		want := gather(t, config(), batches)
		w.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
		if got := gather(t, config(), batches); !slices.Equal(got, want) {
			t.Fatalf("seed %d: other rows after another order", seed)
		}
	}
}

// Windows that end at another place, full or not, and windows that come again, leave the same sums.
func TestWindowsDoNotMatter(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(seed)
		batches := w.batches(20, 6)
		d := database{}
		s, err := rollup.NewShard(config())
		if err != nil {
			t.Fatal(err)
		}
		number := window
		var since []*flow.Batch // the last full edge
		var edges []int
		for rest := batches; len(rest) > 0; number++ {
			n := min(1+w.IntN(10), len(rest))
			s.Open(number, networks)
			for _, b := range rest[:n] {
				s.Add(b, attribute(b))
			}
			since, edges, rest = append(since, rest[:n]...), append(edges, n), rest[n:]
			if len(rest) > 0 && w.IntN(3) > 0 {
				d.write(s.Close(rollup.Tick))
				continue
			}
			d.write(s.Close(rollup.Full))
			before := len(d)
			again(t, d, number-int64(len(edges))+1, since, edges)
			if len(d) != before {
				t.Fatalf("%d rows, %d after the windows came again", before, len(d))
			}
			since, edges = nil, nil
		}
		d.check(t, sumOf(batches))
	}
}

// again gathers windows once more, as another process does after a crash.
func again(t *testing.T, d database, number int64, batches []*flow.Batch, edges []int) {
	t.Helper()
	s, err := rollup.NewShard(config())
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range edges {
		s.Open(number+int64(i), networks)
		for _, b := range batches[:n] {
			s.Add(b, attribute(b))
		}
		batches = batches[n:]
		edge := rollup.Tick
		if i == len(edges)-1 {
			edge = rollup.Full
		}
		d.write(s.Close(edge))
	}
}

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

// Both directions make one row; ports are counted once; the name is the latest.
func TestConversationJoins(t *testing.T) {
	w := newWorld(1)
	b := &flow.Batch{Sensor: "edge-1"}
	for i := range 30 {
		r := flow.Record{
			Key:   flow.Key{Version: 6, Src: flow.Addr{Hi: 1, Lo: 2}, Dst: flow.Addr{Hi: 1, Lo: 4}, SrcPort: uint16(2000 + i%3), DstPort: 443, Proto: flow.ProtoTCP},
			Bytes: 10, Packets: 1, First: noon + int64(i), Last: noon + int64(i), EndReason: flow.EndIdle,
		}
		if i%3 == 0 {
			r.Src, r.Dst, r.SrcPort, r.DstPort, r.Bytes = r.Dst, r.Src, r.DstPort, r.SrcPort, 1000
		}
		b.Records = append(b.Records, r)
	}
	a := attribute(b)
	for i := range a {
		a[i].ServerName = fmt.Sprintf("name-%d", i)
	}
	w.Shuffle(len(a), func(i, j int) {
		a[i], a[j] = a[j], a[i]
		b.Records[i], b.Records[j] = b.Records[j], b.Records[i]
	})
	c := config()
	c.Traffic.Interval, c.Activities.MaxKeys = 0, 0
	s, err := rollup.NewShard(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Open(window, networks)
	s.Add(b, a)
	rows := rowsOf(s.Close(rollup.Full))
	want := []string{fmt.Sprintf(`conversation,proto=6,sensor=edge-1,service=443 client="::1:0:0:0:2",server="::1:0:0:0:4",service_port=443,`+
		`bytes=10200,packets=30,flows=30,bytes_to_server=200,bytes_to_client=10000,packets_to_server=20,packets_to_client=10,`+
		`client_ports=3,server_as=4,server_name="name-29" %d`, noon+8*(1<<19))}
	if !slices.Equal(rows, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(rows, "\n"), want[0])
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

// Rows stay within their interval, and no two windows make the same point, however late a record is.
func TestRowTimesAreUnique(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	b := &flow.Batch{Sensor: "edge-1"}
	for range 50 {
		at := noon - r.Int64N(3*60*minute)
		b.Records = append(b.Records, flow.Record{
			Key:   flow.Key{Version: 4, Src: flow.Addr{Lo: 1}, Dst: flow.Addr{Lo: 2}, SrcPort: 2000, DstPort: 53, Proto: flow.ProtoUDP},
			Bytes: 1, Packets: 1, First: at, Last: at, EndReason: flow.EndIdle,
		})
	}
	d := database{}
	for number := window; number < window+100; number++ {
		before := len(d)
		d.write(closed(t, config(), number, []*flow.Batch{b}))
		rows := len(d) - before
		if before > 0 && rows != before/int(number-window) {
			t.Fatalf("window %d added %d rows", number-window, rows)
		}
	}
	s := sumOf([]*flow.Batch{b})
	d.check(t, sum{bytes: 100 * s.bytes, packets: 100 * s.packets, flows: 100 * s.flows})
	for at := range d.sums("traffic", 10*second) {
		found := slices.ContainsFunc(b.Records, func(r flow.Record) bool { return r.First/(10*second)*(10*second) == at })
		if !found {
			t.Fatalf("a row lies in another interval than its record")
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

func TestConfig(t *testing.T) {
	if err := config().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*rollup.Config){
		"window":                    func(c *rollup.Config) { c.Window = 0 },
		"traffic.max_keys: 0":       func(c *rollup.Config) { c.Traffic.MaxKeys = 0 },
		"conversation.top: 0":       func(c *rollup.Config) { c.Conversation.Top = 0 },
		"activities.max_keys: -1":   func(c *rollup.Config) { c.Activities.MaxKeys = -1 },
		"traffic.interval: 1.5s":    func(c *rollup.Config) { c.Traffic.Interval = 1500 * time.Millisecond },
		"conversation.interval: 2h": func(c *rollup.Config) { c.Conversation.Interval = 2 * time.Hour },
		"tags":                      func(c *rollup.Config) { c.Conversation.Tags = rollup.TagIface },
	} {
		c := config()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
		if _, err := rollup.NewShard(c); err == nil {
			t.Errorf("%s: a shard was made", want)
		}
	}
	if _, err := rollup.ParseTags([]string{"sensor", "iface"}, rollup.ConversationTags); err == nil || !strings.Contains(err.Error(), "server_network") {
		t.Errorf("conversations take the tag iface: %v", err)
	}
	if tags, err := rollup.ParseTags(rollup.TrafficTags.Names(), rollup.TrafficTags); err != nil || tags != rollup.TrafficTags {
		t.Errorf("%v, %v", tags, err)
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
