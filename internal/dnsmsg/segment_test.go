package dnsmsg_test

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

func udp(length int, messages ...[]byte) []byte {
	body := slices.Concat(messages...)
	if length == 0 {
		length = 8 + len(body)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0, 53, 0xc0, 0}, uint16(length)), append([]byte{0, 0}, body...)...)
}

func tcp(body ...[]byte) []byte {
	header := make([]byte, 24) // with an option
	binary.BigEndian.PutUint16(header, 53)
	header[12] = 6 << 4
	return append(header, slices.Concat(body...)...)
}

// framed is a message as in TCP.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

func whole(b []byte) frame.Segment { return frame.Segment{Data: b, Len: len(b)} }

// cut is b of which n octets less were captured.
func cut(b []byte, n int) frame.Segment { return frame.Segment{Data: b[:len(b)-n], Len: len(b)} }

var resolver, client = at("192.0.2.53", 0).Addr, at("192.0.2.1", 0).Addr

func fromServer(proto uint8) *flow.Packet {
	return &flow.Packet{Key: flow.Key{Src: resolver, Dst: client, SrcPort: 53, DstPort: 49152, Proto: proto, Version: 4}, Time: 99}
}

// read gives the addresses that a segment has in its answers.
func read(d *dnsmsg.Decoder, proto uint8, s frame.Segment) []flow.DNSAddress {
	var all []flow.DNSAddress
	d.Segment(fromServer(proto), s, func(a *flow.DNSAnswer) {
		if a.Client == client && a.Server == resolver && a.Version == 4 && a.Time == 99 {
			all = append(all, a.Addresses...)
		}
	})
	return all
}

func TestSegments(t *testing.T) {
	one := answering(www, dnsmessage.TypeA).answer(address(www, "198.51.100.1", 60)).pack(t)
	two := answering(www, dnsmessage.TypeA).answer(address(www, "198.51.100.2", 60)).pack(t)
	first, second := at("198.51.100.1", 60), at("198.51.100.2", 60)
	const ok = dnsmsg.OK
	for name, c := range map[string]struct {
		proto   uint8
		segment frame.Segment
		want    []flow.DNSAddress
		counted []dnsmsg.Reason
	}{
		"a datagram":                  {17, whole(udp(0, one)), []flow.DNSAddress{first}, []dnsmsg.Reason{ok}},
		"with padding behind":         {17, whole(append(udp(0, one), 1, 2, 3)), []flow.DNSAddress{first}, []dnsmsg.Reason{ok}},
		"of which a part was cut":     {17, cut(udp(0, one), 1), nil, []dnsmsg.Reason{dnsmsg.Cut}},
		"of which nothing is left":    {17, cut(udp(0, one), len(one)), nil, []dnsmsg.Reason{dnsmsg.Cut}},
		"cut in its header":           {17, cut(udp(0, one), len(one)+3), nil, []dnsmsg.Reason{dnsmsg.Cut}},
		"too short for a header":      {17, whole([]byte{0, 53}), nil, []dnsmsg.Reason{dnsmsg.Header}},
		"longer than the packet":      {17, whole(udp(9000, one)), nil, []dnsmsg.Reason{dnsmsg.Header}},
		"shorter than its header":     {17, whole(udp(7, one)), nil, []dnsmsg.Reason{dnsmsg.Header}},
		"empty":                       {17, whole(udp(0)), nil, nil},
		"merged by the kernel":        {17, frame.Segment{Data: udp(0, one, two), Len: 8 + len(one) + len(two), Size: uint16(len(one))}, []flow.DNSAddress{first, second}, []dnsmsg.Reason{ok, ok}},
		"merged, the last one cut":    {17, frame.Segment{Data: udp(0, one, two)[:8+len(one)+9], Len: 8 + len(one) + len(two), Size: uint16(len(one))}, []flow.DNSAddress{first}, []dnsmsg.Reason{ok, dnsmsg.Cut}},
		"a fragment":                  {17, frame.Segment{Data: udp(0, one), Len: 8 + len(one), Fragment: true}, nil, []dnsmsg.Reason{dnsmsg.Fragment}},
		"TCP":                         {6, whole(tcp(framed(one))), []flow.DNSAddress{first}, []dnsmsg.Reason{ok}},
		"TCP, two":                    {6, whole(tcp(framed(one), framed(two))), []flow.DNSAddress{first, second}, []dnsmsg.Reason{ok, ok}},
		"TCP, the second split":       {6, whole(tcp(framed(one), framed(two)[:20])), []flow.DNSAddress{first}, []dnsmsg.Reason{ok, dnsmsg.Split}},
		"TCP, the length alone":       {6, whole(tcp(framed(one)[:2])), nil, []dnsmsg.Reason{dnsmsg.Split}},
		"TCP, half a length":          {6, whole(tcp(framed(one)[:1])), nil, []dnsmsg.Reason{dnsmsg.Split}},
		"TCP, cut":                    {6, cut(tcp(framed(one)), 1), nil, []dnsmsg.Reason{dnsmsg.Cut}},
		"TCP, all of it cut":          {6, cut(tcp(framed(one)), len(one)+2), nil, []dnsmsg.Reason{dnsmsg.Cut}},
		"TCP, cut in the options":     {6, cut(tcp(framed(one)), len(one)+4), nil, []dnsmsg.Reason{dnsmsg.Cut}},
		"TCP, no message's length":    {6, whole(tcp([]byte{0, 3, 1, 2, 3})), nil, []dnsmsg.Reason{dnsmsg.Split}},
		"TCP without payload":         {6, whole(tcp()), nil, nil},
		"TCP, header beyond it":       {6, whole(tcp()[:20]), nil, []dnsmsg.Reason{dnsmsg.Header}},
		"TCP, too short":              {6, whole(tcp()[:19]), nil, []dnsmsg.Reason{dnsmsg.Header}},
		"another protocol from 53":    {132, whole(udp(0, one)), nil, nil},
		"a query from a server":       {17, whole(udp(0, answering(www, 1).with(func(m *dnsmessage.Message) { m.Response = false }).pack(t))), nil, []dnsmsg.Reason{dnsmsg.Query}},
		"TCP, nonsense, then nothing": {6, whole(tcp(framed(make([]byte, 12)))), nil, []dnsmsg.Reason{dnsmsg.Query}},
	} {
		d := dnsmsg.NewDecoder()
		var want dnsmsg.Stats
		for _, r := range c.counted {
			want.Messages[r]++
		}
		if got := read(d, c.proto, c.segment); !slices.Equal(got, c.want) || !reflect.DeepEqual(d.Stats(), want) {
			t.Errorf("%s: got %v, want %v\ncounted %+v\nwanted  %+v", name, got, c.want, d.Stats(), want)
		}
	}
}

// A popular name costs no memory each time: one allocation for the addresses is all.
func TestAllocations(t *testing.T) {
	d := dnsmsg.NewDecoder()
	s := whole(udp(0, answering(www, dnsmessage.TypeA).answer(address(www, "198.51.100.1", 60), address(www, "198.51.100.2", 60)).pack(t)))
	refused := whole(udp(0, answering(www, dnsmessage.TypeMX).pack(t)))
	p := fromServer(17)
	emit := func(*flow.DNSAnswer) {}
	if n := testing.AllocsPerRun(100, func() { d.Segment(p, s, emit) }); n != 1 {
		t.Errorf("%v allocations for an answer", n)
	}
	if n := testing.AllocsPerRun(100, func() { d.Segment(p, refused, emit) }); n != 0 {
		t.Errorf("%v allocations for a message without one", n)
	}
}
