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
