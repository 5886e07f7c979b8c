package route_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/route"
	"flowsensor/internal/testnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// router is a namespace whose routes are followed.
type router struct {
	host   *testnet.Host
	kernel *netlink.Handle
	table  *route.Table
}

// newRouter makes a namespace with two links, d0 and d1, and opens a table in it. Run runs until the test ends, from
// the call of the function that comes back.
func newRouter(t *testing.T) (r *router, run func()) {
	t.Helper()
	r = &router{host: testnet.NewLink(t, testnet.Config{}).Capture}
	for i := range 2 {
		r.ip(t, fmt.Sprintf("link add d%d type veth peer name p%d", i, i))
		r.ip(t, fmt.Sprintf("link set p%d up", i))
		r.ip(t, fmt.Sprintf("addr add 10.%d.0.1/16 dev d%d", i, i))
		r.ip(t, fmt.Sprintf("addr add 2001:db8:%d::1/48 dev d%d nodad", i, i))
		r.ip(t, fmt.Sprintf("link set d%d up", i))
	}
	if err := r.host.Do(func() (err error) {
		if r.kernel, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return err
		}
		r.table, err = route.Open(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	running := false
	t.Cleanup(func() {
		stop()
		if running {
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}
		r.table.Close()
		r.kernel.Close()
	})
	return r, func() {
		running = true
		go func() { done <- r.table.Run(ctx) }()
	}
}

// ip runs ip(8) inside, once for each line.
func (r *router) ip(t *testing.T, lines string) {
	t.Helper()
	cmd := r.host.Command(t.Context(), "ip", "-force", "-batch", "-")
	cmd.Stdin = strings.NewReader(lines + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", lines, err, out)
	}
}

// hop is where a packet goes.
type hop struct {
	Mask    uint8
	NextHop netip.Addr
	OutIf   int
}

// ask has the kernel look an address up, and gives the next hops it may take: of several, IPv6 lists the one that its hash
// picks first. It gives none where the answer is not of the main table.
func (r *router) ask(t *testing.T, to netip.Addr) []hop {
	t.Helper()
	found, err := r.kernel.RouteGetWithOptions(net.IP(to.AsSlice()), &netlink.RouteGetOptions{FIBMatch: true})
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EACCES):
		return []hop{{}}
	case err != nil || len(found) == 0:
		t.Fatalf("%s: %v", to, err)
	}
	k := found[0]
	switch {
	case k.Table != unix.RT_TABLE_MAIN:
		return nil
	case k.Type != unix.RTN_UNICAST:
		return []hop{{}}
	case len(k.MultiPath) == 0:
		k.MultiPath = []*netlink.NexthopInfo{{Gw: k.Gw, LinkIndex: k.LinkIndex}}
	}
	var all []hop
	for _, n := range k.MultiPath {
		h := hop{Mask: 1, OutIf: n.LinkIndex}
		if k.Dst != nil {
			ones, _ := k.Dst.Mask.Size()
			h.Mask = uint8(ones + 1)
		}
		if a, ok := netip.AddrFromSlice(n.Gw); ok {
			h.NextHop = a.Unmap()
		}
		all = append(all, h)
	}
	return all
}

// known looks an address up in the table.
func (r *router) known(to netip.Addr) hop {
	var rec flow.Record
	rec.Dst, rec.Version = flow.AddrFrom(to)
	rec.Src = rec.Dst
	r.table.Fill(&rec)
	h := hop{Mask: rec.DstMask, OutIf: int(rec.OutIf)}
	if !rec.NextHop.IsZero() {
		h.NextHop = rec.NextHop.Netip(rec.Version)
	}
	if rec.SrcMask != rec.DstMask {
		h.Mask = 255
	}
	return h
}

// agrees waits until the table says what the kernel says of all addresses.
func (r *router) agrees(t *testing.T, after string, addresses []netip.Addr) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		differences := ""
		for _, a := range addresses {
			if want := r.ask(t, a); want != nil && !slices.Contains(want, r.known(a)) {
				differences += fmt.Sprintf("%s: known %+v, the kernel says %+v\n", a, r.known(a), want)
			}
		}
		switch {
		case differences == "":
			return
		case time.Now().After(deadline):
			t.Fatalf("after %s:\n%s%+v", after, differences, r.table.Stats())
		}
	}
}

// holds waits until the table has so many routes.
func (r *router) holds(t *testing.T, routes int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); r.table.Stats().Routes != routes; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("want %d routes: %+v", routes, r.table.Stats())
		}
	}
}

var destinations = []netip.Addr{
	netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1"),
	netip.MustParseAddr("10.0.3.4"), netip.MustParseAddr("10.1.3.4"), netip.MustParseAddr("8.8.8.8"),
	netip.MustParseAddr("2001:db8:a::1"), netip.MustParseAddr("2001:db8:a:b::1"), netip.MustParseAddr("2001:db8:0:3::1"),
	netip.MustParseAddr("2001:db8:1:3::1"), netip.MustParseAddr("2001:db8:ffff::1"), netip.MustParseAddr("2400::1"),
}

// Each step is a change of its own kind; after each the table says what the kernel says.
func TestFollowsTheKernel(t *testing.T) {
	r, run := newRouter(t)
	r.ip(t, "route add 192.0.2.0/24 via 10.0.0.2\nroute add 2001:db8:a::/48 via 2001:db8:0::2")
	run()
	for _, step := range []string{
		"route add 198.51.100.0/24 via 10.1.0.2",
		"route add 192.0.2.128/25 dev d1",
		"route add default via 10.0.0.9",
		"route add default via 10.1.0.9 metric 10",
		"route del default via 10.0.0.9",
		"route replace 198.51.100.0/24 via 10.0.0.7",
		"route append 198.51.100.0/24 via 10.1.0.7",
		"route prepend 198.51.100.0/24 via 10.1.0.8",
		"route del 198.51.100.0/24 via 10.1.0.8",
		"route replace 198.51.100.0/24 via 10.1.0.11",
		"route add 203.0.113.0/24 nexthop via 10.0.0.3 weight 1 nexthop via 10.1.0.3 weight 1",
		"route add unreachable 192.0.2.1/32",
		"route add blackhole 8.8.8.0/24",
		"route add 192.0.2.0/24 via 10.1.0.2 table 100",
		"route add 192.0.2.0/24 via 10.1.0.2 tos 0x10",
		"route del 192.0.2.1/32",
		"route add 2001:db8:a:b::/64 via 2001:db8:1::2",
		"route add 2001:db8:a:b::/64 via 2001:db8:0::2 metric 5",
		"route append 2001:db8:a:b::/64 via 2001:db8:1::5 metric 5",
		"route append 2001:db8:a:b::/64 via 2001:db8:1::6 metric 5",
		"route del 2001:db8:a:b::/64 via 2001:db8:0::2 metric 5",
		"route replace 2001:db8:a:b::/64 via 2001:db8:0::7 metric 5",
		"route del 2001:db8:a:b::/64 metric 5",
		"route add 2001:db8:ffff::/48 nexthop via 2001:db8:0::2 nexthop via 2001:db8:1::2",
		"route del 2001:db8:ffff::/48 via 2001:db8:0::2",
		"route add default via 2001:db8:1::9",
		"route add 192.0.2.64/26 via inet6 2001:db8:1::2 dev d1",
		"nexthop add id 1 via 10.0.0.5 dev d0",
		"route add 192.0.2.200/32 nhid 1",
		"nexthop replace id 1 via 10.1.0.5 dev d1",
		"nexthop del id 1",
		"addr add 10.5.0.1/16 dev d0\nroute add 198.51.100.1/32 via 10.5.0.2 src 10.5.0.1",
		"addr del 10.5.0.1/16 dev d0",
		"link set d1 down",
		"link set d1 up",
		"link del d0",
	} {
		r.ip(t, step)
		r.agrees(t, step, destinations)
	}
	if st := r.table.Stats(); st.Updates == 0 || st.Readings[route.ReasonStart] != 1 || st.Failures != 0 || st.Refused != 0 || st.Overruns != 0 {
		t.Errorf("%+v", st)
	}
}

// Plain additions and removals are applied as they are told: nothing is read anew.
func TestPlainChangesNeedNoReading(t *testing.T) {
	r, run := newRouter(t)
	run()
	before := r.table.Stats()
	var add, del strings.Builder
	for i := range 200 {
		fmt.Fprintf(&add, "route add 192.0.2.%d/32 via 10.%d.0.2\nroute add 2001:db8:a:%x::/64 via 2001:db8:%d::2\n", i, i%2, i, i%2)
		fmt.Fprintf(&del, "route del 192.0.2.%d/32\nroute del 2001:db8:a:%x::/64\n", i, i)
	}
	r.ip(t, add.String())
	r.holds(t, before.Routes+400)
	r.agrees(t, "400 routes", destinations)
	r.ip(t, del.String())
	r.holds(t, before.Routes)
	after := r.table.Stats()
	if after.Updates-before.Updates != 800 || after.Overruns != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for reason, n := range after.Readings {
		if reason := route.Reason(reason); n > before.Readings[reason] && reason != route.ReasonLink {
			t.Errorf("read anew for %s", reason)
		}
	}
}

// Random changes, many at a time.
func TestFollowsTheKernelThroughAStorm(t *testing.T) {
	r, run := newRouter(t)
	run()
	random := rand.New(rand.NewPCG(7, 8))
	nets := []string{"192.0.2.0/24", "192.0.2.0/25", "192.0.2.192/26", "198.51.100.0/24", "default", "2001:db8:a::/48", "2001:db8:a:b::/64", "2400::/12"}
	for range 12 {
		var script strings.Builder
		for range 40 {
			net, dev := nets[random.IntN(len(nets))], random.IntN(2)
			via := fmt.Sprintf("10.%d.0.%d", dev, 2+random.IntN(3))
			if strings.Contains(net, ":") {
				via = fmt.Sprintf("2001:db8:%d::%d", dev, 2+random.IntN(3))
			}
			verb := []string{"add", "add", "del", "del", "replace", "append", "prepend"}[random.IntN(7)]
			fmt.Fprintf(&script, "route %s %s via %s metric %d\n", verb, net, via, 1+random.IntN(2))
		}
		cmd := r.host.Command(t.Context(), "ip", "-force", "-batch", "-")
		cmd.Stdin = strings.NewReader(script.String())
		_ = cmd.Run() // many of these changes are refused
		r.agrees(t, script.String(), destinations)
	}
}

// When the kernel drops messages all routes are read again, and nothing stays wrong.
func TestOverrun(t *testing.T) {
	r, run := newRouter(t)
	const n = 60_000
	var script strings.Builder
	for i := range n {
		fmt.Fprintf(&script, "route add 172.%d.%d.%d/32 via 10.%d.0.2\n", 16+i>>16, i>>8&255, i&255, i%2)
	}
	before := r.table.Stats()
	r.ip(t, script.String()) // nobody reads the socket
	run()
	r.holds(t, before.Routes+n)
	r.agrees(t, "an overrun", append(destinations, netip.MustParseAddr("172.16.255.255"), netip.MustParseAddr("172.16.0.0")))
	st := r.table.Stats()
	if st.Overruns == 0 || st.Readings[route.ReasonOverrun] == 0 {
		t.Errorf("before %+v, after %+v", before, st)
	}
}
