package route_test

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/route"
)

// attribute appends a struct rtattr.
func attribute(b []byte, kind uint16, value ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func u32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// rtmsg makes the start of a route message.
func rtmsg(family, dstLen, table, kind byte) []byte {
	return []byte{family, dstLen, 0, 0, table, unix.RTPROT_STATIC, 0, kind, 0, 0, 0, 0}
}

// nexthop makes a struct rtnexthop with a gateway.
func nexthop(flags byte, outIf uint32, gateway ...byte) []byte {
	b := append([]byte{0, 0, flags, 0}, u32(outIf)...)
	b = attribute(b, unix.RTA_GATEWAY, gateway...)
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	return b
}

// simple is 192.0.2.0/24 via 10.0.0.1 dev 7.
func simple() []byte {
	b := attribute(rtmsg(unix.AF_INET, 24, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_DST, 192, 0, 2, 0)
	b = attribute(b, unix.RTA_GATEWAY, 10, 0, 0, 1)
	return attribute(b, unix.RTA_OIF, u32(7)...)
}

func newRoute(data []byte) *syscall.NetlinkMessage {
	return &syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWROUTE}, Data: data}
}

// to gives what a record between two addresses gets.
func to(t *route.Table, src, dst string) flow.Record {
	r := flow.Record{Bytes: 1, Packets: 1, EndReason: flow.EndIdle}
	r.Src, r.Version = flow.AddrFrom(netip.MustParseAddr(src))
	r.Dst, _ = flow.AddrFrom(netip.MustParseAddr(dst))
	t.Fill(&r)
	return r
}

func TestMessages(t *testing.T) {
	ten := flow.AddrFrom4([]byte{10, 0, 0, 1})
	prefix := func(table, kind byte) []byte {
		return attribute(rtmsg(unix.AF_INET, 24, table, kind), unix.RTA_DST, 192, 0, 2, 0)
	}
	with := func(at int, value byte) []byte {
		b := simple()
		b[at] = value
		return b
	}
	hops := func(hops ...[]byte) []byte {
		var all []byte
		for _, h := range hops {
			all = append(all, h...)
		}
		return attribute(prefix(unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_MULTIPATH, all...)
	}
	type result struct {
		Mask  uint8
		Hop   flow.Addr
		OutIf uint32
	}
	for name, c := range map[string]struct {
		message []byte
		want    result
		broken  bool
	}{
		"gateway":           {simple(), result{25, ten, 7}, false},
		"on the link":       {attribute(prefix(unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_OIF, u32(7)...), result{25, flow.Addr{}, 7}, false},
		"default":           {attribute(rtmsg(unix.AF_INET, 0, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_OIF, u32(3)...), result{1, flow.Addr{}, 3}, false},
		"IPv6 gateway":      {attribute(attribute(prefix(unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_VIA, append([]byte{10, 0}, make([]byte, 16)...)...), unix.RTA_OIF, u32(7)...), result{25, flow.Addr{}, 7}, false},
		"first hop":         {hops(nexthop(0, 7, 10, 0, 0, 1), nexthop(0, 8, 10, 0, 0, 2)), result{25, ten, 7}, false},
		"first hop dead":    {hops(nexthop(unix.RTNH_F_DEAD, 8, 10, 0, 0, 2), nexthop(0, 7, 10, 0, 0, 1)), result{25, ten, 7}, false},
		"hop without link":  {hops(nexthop(unix.RTNH_F_LINKDOWN, 8, 10, 0, 0, 2), nexthop(0, 7, 10, 0, 0, 1)), result{25, ten, 7}, false},
		"no hop is alive":   {hops(nexthop(unix.RTNH_F_DEAD, 7, 10, 0, 0, 1), nexthop(unix.RTNH_F_DEAD, 8, 10, 0, 0, 2)), result{25, ten, 7}, false},
		"blackhole":         {prefix(unix.RT_TABLE_MAIN, unix.RTN_BLACKHOLE), result{}, false},
		"local table":       {prefix(unix.RT_TABLE_LOCAL, unix.RTN_LOCAL), result{}, false},
		"table 1000":        {attribute(simple(), unix.RTA_TABLE, u32(1000)...), result{}, false},
		"by ToS":            {with(3, 16), result{}, false},
		"by source":         {with(2, 32), result{}, false},
		"cloned":            {with(9, unix.RTM_F_CLONED>>8), result{}, false},
		"dead":              {with(8, unix.RTNH_F_DEAD), result{}, false},
		"other family":      {rtmsg(unix.AF_MPLS, 20, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), result{}, false},
		"empty":             {nil, result{}, true},
		"short":             {simple()[:11], result{}, true},
		"cut attribute":     {simple()[:15], result{}, true},
		"long attribute":    {simple()[:22], result{}, true},
		"length":            {with(1, 33), result{}, true},
		"host bits":         {with(1, 8), result{}, true},
		"address of six":    {attribute(rtmsg(unix.AF_INET, 24, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_DST, make([]byte, 16)...), result{}, true},
		"short next hop":    {attribute(prefix(unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_MULTIPATH, 1, 2, 3, 4), result{}, true},
		"endless next hop":  {attribute(prefix(unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_MULTIPATH, make([]byte, 8)...), result{}, true},
		"next hop too long": {attribute(prefix(unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_MULTIPATH, append(binary.NativeEndian.AppendUint16(nil, 99), make([]byte, 6)...)...), result{}, true},
	} {
		table := route.Detached()
		table.Feed(newRoute(c.message))
		r := to(table, "203.0.113.1", "192.0.2.1")
		if got := (result{r.DstMask, r.NextHop, r.OutIf}); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
		if why, wanted := table.Wanted(); wanted != c.broken || wanted && why != route.ReasonMessage {
			t.Errorf("%s: wants all routes again: %v, for %s", name, wanted, why)
		}
	}
}

// What messages leave open is read again, and for that reason.
func TestMessagesThatAskForAReading(t *testing.T) {
	link := func(index byte, flags uint32) []byte {
		return append([]byte{0, 0, 0, 0, index, 0, 0, 0}, append(u32(flags), 0, 0, 0, 0)...)
	}
	six := func(gateway byte) []byte {
		b := attribute(rtmsg(unix.AF_INET6, 64, unix.RT_TABLE_MAIN, unix.RTN_UNICAST), unix.RTA_DST, append([]byte{0x20, 1}, make([]byte, 14)...)...)
		return attribute(b, unix.RTA_GATEWAY, append(make([]byte, 15), gateway)...)
	}
	message := func(kind uint16, data []byte) syscall.NetlinkMessage {
		return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: data}
	}
	const none = route.Reasons
	for name, c := range map[string]struct {
		messages []syscall.NetlinkMessage
		want     route.Reason
	}{
		"plain":               {[]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, simple()), message(unix.RTM_DELROUTE, simple())}, route.Reason(none)},
		"told twice":          {[]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, simple()), message(unix.RTM_NEWROUTE, simple())}, route.Reason(none)},
		"link":                {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, link(1, unix.IFF_UP))}, route.ReasonLink},
		"link gone":           {[]syscall.NetlinkMessage{message(unix.RTM_DELLINK, link(1, 0))}, route.ReasonLink},
		"short link":          {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, []byte{1})}, route.ReasonMessage},
		"address":             {[]syscall.NetlinkMessage{message(unix.RTM_DELADDR, nil)}, route.ReasonAddress},
		"new address":         {[]syscall.NetlinkMessage{message(unix.RTM_NEWADDR, nil)}, route.Reason(none)},
		"next hop":            {[]syscall.NetlinkMessage{message(unix.RTM_DELNEXTHOP, nil)}, route.ReasonNexthop},
		"unknown":             {[]syscall.NetlinkMessage{message(unix.RTM_DELROUTE, simple())}, route.ReasonUnknown},
		"IPv6 of one metric":  {[]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, six(1)), message(unix.RTM_NEWROUTE, six(2))}, route.ReasonUnclear},
		"replaces one of two": {[]syscall.NetlinkMessage{message(unix.RTM_NEWROUTE, simple()), message(unix.RTM_NEWROUTE, simple()[:20]), {Header: syscall.NlMsghdr{Type: unix.RTM_NEWROUTE, Flags: unix.NLM_F_REPLACE}, Data: simple()}}, route.ReasonUnclear},
	} {
		table := route.Detached()
		for i := range c.messages {
			table.Feed(&c.messages[i])
		}
		why, wanted := table.Wanted()
		if !wanted {
			why = route.Reason(none)
		}
		if why != c.want {
			t.Errorf("%s: reading for %s, want %s", name, why, c.want)
		}
	}
}

// FuzzMessages plays bytes as messages: kind, flags, length and that many octets each.
func FuzzMessages(f *testing.F) {
	for _, kind := range []byte{unix.RTM_NEWROUTE, unix.RTM_DELROUTE} {
		message := simple()
		f.Add(append([]byte{kind, 0, byte(len(message))}, message...))
		twice := append([]byte{unix.RTM_NEWROUTE, 8, byte(len(message))}, message...)
		f.Add(append(twice, append([]byte{kind, 1, byte(len(message))}, message...)...))
	}
	f.Add([]byte{unix.RTM_NEWLINK, 0, 16, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		table := route.Detached()
		for len(script) >= 3 {
			kind, flags, n := script[0], script[1], min(int(script[2]), len(script)-3)
			table.Feed(&syscall.NetlinkMessage{
				Header: syscall.NlMsghdr{Type: uint16(kind), Flags: uint16(flags) << 8}, Data: script[3 : 3+n],
			})
			script = script[3+n:]
		}
		if n, ordered := table.Count(); n != table.Stats().Routes || !ordered {
			t.Fatalf("%d routes counted, %d known, ordered: %v", n, table.Stats().Routes, ordered)
		}
		for _, address := range []string{"192.0.2.1", "0.0.0.0", "255.255.255.255", "::", "2001:db8::1"} {
			r := to(table, address, address)
			if err := r.Validate(); err != nil {
				t.Fatalf("%s: %v in %+v", address, err, r)
			}
		}
	})
}
