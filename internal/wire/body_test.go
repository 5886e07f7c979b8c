package wire_test

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

const (
	head = "\x00" + // coding
		"\x00\x00\x00\x00\x00\x00\x00\x07" + // boot
		"\x00\x00\x00\x00\x00\x09" + // seq
		"\x00\x01" + // seq less floor
		"\x00\x00\x00\x00\x00\x00\x00\x64" // base
	eth1 = "\x01" + "\x03" + "\x04eth1" // one interface: index, name
	// lone is a shape: nothing special, proto 17, tos 0, idle, interface 0.
	lone = "\x00\x11\x00\x01\x00"
	// The columns of one record behind its shape.
	ends  = "\x00\x0a\x00\x00\x01" + "\x00\x0a\x00\x00\x02" // addresses, both new
	ports = "\x6b\x80\x00"                                  // 53 is the source's, 32768
	rest  = "\x04" + "\x01" + "\x01" + "\x1c"               // last 2 us, duration 1 us, packets, bytes
)

// Bodies written by hand: the layout, octet by octet.
func TestBodyByHand(t *testing.T) {
	first := flow.Record{
		Key:   flow.Key{Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), IfIndex: 3, SrcPort: 53, DstPort: 32768, Proto: flow.ProtoUDP, Version: 4},
		First: 1000, Last: 2000, Packets: 1, Bytes: 28, EndReason: flow.EndIdle,
	}
	answer := reverse(first)
	answer.First, answer.Last, answer.Packets, answer.Bytes = 2000, 4000, 2, 300
	again := first
	again.ToS, again.First, again.Last = 8, 0, 0
	six := flow.Record{
		Key: flow.Key{
			Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), IfIndex: 3, SrcPort: 443, DstPort: 443, Proto: flow.ProtoTCP, Version: 6,
			VLAN: flow.VLANFromTCI(5),
		},
		First: 2000, Last: 2000, Packets: 1, Bytes: 128, TCPFlags: flow.SYN | flow.AE, Handshake: flow.SawSYN, EndReason: flow.EndFull,
		VLAN: flow.VLANFromTCI(5), VLANInner: flow.VLANFromTCI(0), NextHop: addr("2001:db8::2"), OutIf: 9, SrcMask: 65, DstMask: 1, Sampling: 300,
		SrcAS: 64496, DstAS: 1,
	}
	routed := six
	routed.Src, routed.Dst = addr("2001:db8::2"), addr("2001:db8::5")
	for name, c := range map[string]struct {
		body    string
		records []flow.Record
	}{
		"one": {head + eth1 + "\x01" + "\x00" + lone + ends + ports + rest, []flow.Record{first}},
		"answer": {
			head + eth1 + "\x02" +
				"\x00" + lone + "\x03\x03" + // shape of the one before, paired with the one before, reversed
				ends + ports +
				"\x04\x04" + "\x01\x02" + // last 2 us later; duration 1 us more
				"\x01\x02" + "\x1c\xac\x02",
			[]flow.Record{first, answer},
		},
		"same again": {
			head + eth1 + "\x02" +
				"\x00" + lone + "\x01\x02" + "\x00\x11\x08\x01\x00" + // paired, not reversed, of a new shape
				ends + ports +
				"\x04\x03" + "\x01\x01" + // last 2 us earlier; duration 1 us less
				"\x01\x01" + "\x1c\x1c",
			[]flow.Record{first, again},
		},
		"everything": {
			head + eth1 + "\x02" +
				"\x00" + "\x7d\x06\x00\x05" + "\x82\x02\x01" + "\x80\x05\x00\x00\x80\x05\x80\x00" + "\x00" + // IPv6, TCP, VLANs, route, both AS
				"\x02" + // the same shape
				"\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + // new, 16 octets
				"\x02\x01\x00\x00\x00\x00\x00\x00\x00\x02" + // prefix of the address before
				"\x03" + "\x02\x01\x00\x00\x00\x00\x00\x00\x00\x05" + // the address one place before; its prefix
				"\xf6\x06\x01\xbb" + "\xf6\x06\x01\xbb" + // 443 twice
				"\x00" + "\x03" + "\x09" + "\x41\x01" + "\xac\x02" + "\xf0\xf7\x03" + "\x01" + // route: new, next hop is the destination; AS
				"\x01" + "\xf0\xf7\x03" + "\x01" + // the same route; AS
				"\x04\x00" + "\x00\x00" + "\x01\x01" + "\x80\x01\x80\x01",
			[]flow.Record{six, routed},
		},
	} {
		var b flow.Batch
		if err := wire.ParseFlows([]byte(c.body), &b); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b.Boot != 7 || b.Seq != 9 || b.Floor != 8 || b.Base != 100 || !reflect.DeepEqual(b.Interfaces, []flow.Interface{{Index: 3, Name: "eth1"}}) {
			t.Errorf("%s: %+v", name, b)
		}
		if !reflect.DeepEqual(b.Records, c.records) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, b.Records, c.records)
		}
		e := wire.NewFlowsEncoder(math.MaxInt)
		for i := range c.records {
			e.Add(&c.records[i], "eth1")
		}
		if got := e.AppendBody(nil, wire.Numbers{Boot: 7, Seq: 9, Floor: 8, Base: 100}); string(got) != c.body {
			t.Errorf("%s: encoded as\n% x\nwant\n% x", name, got, c.body)
		}
	}
}

func TestBodyRefused(t *testing.T) {
	const (
		one   = head + eth1 + "\x01"
		two   = head + eth1 + "\x02"
		all   = one + "\x00" + lone + ends + ports + rest
		twin  = two + "\x00" + lone // and the second record's shape
		after = ends + ports + "\x04\x04" + "\x01\x02" + "\x01\x02" + "\x1c\x1c"
	)
	table := func(entries string) string { return head + entries + "\x01" + "\x00" + lone + ends + ports + rest }
	shape := func(s string) string { return one + "\x00" + s + ends + ports + rest }
	address := func(src, dst string) string { return one + "\x00" + lone + src + dst + ports + rest + "......" }
	times := func(last, duration string) string {
		return one + "\x00" + lone + ends + ports + last + duration + "\x01\x1c"
	}
	max64 := strings.Repeat("\xff", 9) + "\x01"
	longUS := strings.Repeat("\xff", 8) + "\x01" // zigzag of -2^56: beyond what ns can say
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"coding":                   {"\x01" + all[1:], wire.ErrCoding},
		"floor below zero":         {all[:16] + "\x0a" + all[17:], wire.ErrSequence},
		"floor too far below":      {all[:13] + "\xff\xff\x08\x00" + all[17:], wire.ErrSequence},
		"base below zero":          {all[:17] + "\x80" + all[18:], wire.ErrBase},
		"base beyond bounds":       {all[:17] + "\x7f\xff" + all[19:], wire.ErrBase},
		"trailing":                 {all + "\x00", wire.ErrTrailing},
		"no records":               {head + eth1 + "\x00", wire.ErrCount},
		"too many records":         {head + eth1 + "\x81\x40" + strings.Repeat("\x00", 60000), wire.ErrCount},
		"more than there is":       {head + eth1 + "\x80\x40" + strings.Repeat("\x00", 6*8192-1), wire.ErrTruncated},
		"count overlong":           {head + eth1 + "\x81\x00" + all[len(one):], wire.ErrValue},
		"count of 11 octets":       {head + eth1 + strings.Repeat("\xff", 10) + "\x01", wire.ErrValue},
		"too many interfaces":      {head + "\x81\x02" + strings.Repeat("\x00", 60000), wire.ErrInterface},
		"interface twice":          {table("\x02" + "\x03\x04eth1" + "\x03\x04eth2"), wire.ErrInterface},
		"interface not used":       {table("\x02" + "\x03\x04eth1" + "\x04\x04eth2"), wire.ErrInterface},
		"interface not there":      {shape("\x00\x11\x00\x01\x01"), wire.ErrInterface},
		"interfaces out of order":  {head + "\x02" + "\x03\x04eth1" + "\x04\x04eth2" + "\x01" + "\x00" + "\x00\x11\x00\x01\x01" + ends + ports + rest, wire.ErrInterface},
		"no interface":             {table("\x00"), wire.ErrInterface},
		"interface number":         {shape("\x00\x11\x00\x01\xff\x7f"), wire.ErrValue},
		"interface index":          {table("\x01" + "\x80\x80\x80\x80\x10" + "\x04eth1"), wire.ErrValue},
		"interface name too long":  {table("\x01" + "\x03\x41" + strings.Repeat("x", 65)), wire.ErrValue},
		"control octet in a name":  {table("\x01" + "\x03\x04et\n1"), wire.ErrInterface},
		"DEL in a name":            {table("\x01" + "\x03\x04et\x7f1"), wire.ErrInterface},
		"C1 control in a name":     {table("\x01" + "\x03\x04et\xc2\x85"), wire.ErrInterface},
		"name is not UTF-8":        {table("\x01" + "\x03\x04et\xff1"), wire.ErrInterface},
		"shape before the first":   {one + "\x02" + lone + ends + ports + rest, wire.ErrReference},
		"shape far before":         {one + "\x80\x40" + lone + ends + ports + rest, wire.ErrReference},
		"shape beyond any batch":   {one + "\xff\xff\x7f" + lone + ends + ports + rest, wire.ErrValue},
		"pair before the first":    {one + "\x01\x02" + lone + ends + ports + rest, wire.ErrReference},
		"pair is itself":           {twin + "\x03\x00" + after, wire.ErrReference},
		"pair is itself, reversed": {twin + "\x03\x01" + after, wire.ErrReference},
		"pair two before":          {twin + "\x03\x05" + after, wire.ErrReference},
		"shape two before":         {twin + "\x05\x03" + after, wire.ErrReference},
		"two versions":             {shape("\x03\x04\x11\x00\x01\x00"), wire.ErrValue},
		"unknown bit":              {shape("\x80\x11\x00\x01\x00"), wire.ErrValue},
		"TCP flags":                {shape("\x04\x06\x00\x01\x80\x80\x04\x00\x00"), wire.ErrValue},
		"address before the first": {address("\x03", "\x03"), wire.ErrReference},
		"address three before":     {address("\x00\x0a\x00\x00\x01", "\x05"), wire.ErrReference},
		"address far before":       {address(max64, ""), wire.ErrReference},
		"prefix before the first":  {address("\x02\x01\x00\x00\x00\x00\x00\x00\x00\x01", "\x03"), wire.ErrReference},
		"prefix of itself":         {address("\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01", "\x03"), wire.ErrReference},
		"port":                     {one + "\x00" + lone + ends + "\x80\x80\x08\x00\x00" + rest, wire.ErrValue},
		"route before the first":   {one + "\x00" + "\x10\x11\x00\x01\x00" + ends + ports + "\x01" + rest, wire.ErrReference},
		"AS":                       {one + "\x00" + "\x20\x11\x00\x01\x00" + ends + ports + "\x80\x80\x80\x80\x10" + rest, wire.ErrValue},
		"out_if":                   {one + "\x00" + "\x10\x11\x00\x01\x00" + ends + ports + "\x00\x03\x80\x80\x80\x80\x10" + rest + "....", wire.ErrValue},
		"time":                     {times(longUS, "\x00"), wire.ErrValue},
		"least time":               {times(max64, "\x00"), wire.ErrValue},
		"time made up for":         {times("\xfe"+longUS[1:], strings.Repeat("\xff", 7)+"\x7f"), wire.ErrValue}, // first would be 0
		"duration":                 {times("\x04", max64[:8]+"\x7f"), wire.ErrValue},
		"first out of range":       {times("\x04", "\xff\xff\xff\xff\xff\xff\xff\x1f"), wire.ErrValue},
		"bytes overlong":           {all[:len(all)-1] + "\x9c\x00", wire.ErrValue},
		"bytes beyond 64 bits":     {all[:len(all)-1] + strings.Repeat("\xff", 9) + "\x02", wire.ErrValue},
	} {
		var b flow.Batch
		if err := wire.ParseFlows([]byte(c.body), &b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if len(b.Records)+len(b.Interfaces) > 0 {
			t.Errorf("%s: there are %d records and %d interfaces all the same", name, len(b.Records), len(b.Interfaces))
		}
	}
}

// Cut anywhere a body is refused, and always as truncated.
func TestBodyTruncated(t *testing.T) {
	body := encode(t, newTraffic(3).some(60), eth0)
	var b flow.Batch
	for n := range body {
		if err := wire.ParseFlows(body[:n], &b); !errors.Is(err, wire.ErrTruncated) {
			t.Fatalf("cut to %d of %d octets: %v", n, len(body), err)
		}
	}
}

// Whatever a body says, the memory it takes is bounded by its length.
func TestParseTakesNoMoreThanTheBodyCallsFor(t *testing.T) {
	for _, n := range []int{wire.MaxRecords, math.MaxInt32} {
		body := append([]byte(head+eth1), slices.Concat(uvarint(uint64(n)), make([]byte, 600))...)
		var b flow.Batch
		if err := wire.ParseFlows(body, &b); err == nil || cap(b.Records) > 100 {
			t.Errorf("count %d: %v, room for %d records", n, err, cap(b.Records))
		}
	}
	body := []byte(head + eth1 + "\x64" + strings.Repeat("\x00", 600)) // as many as there may be
	var b flow.Batch
	if err := wire.ParseFlows(body, &b); err == nil || cap(b.Records) > 128 {
		t.Errorf("%v, room for %d records", err, cap(b.Records))
	}
}

func uvarint(v uint64) []byte {
	var b []byte
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
