package sensor

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/testnet"
)

// ip runs ip(8) in a host, once for each line.
func ip(t *testing.T, h *testnet.Host, lines ...string) {
	t.Helper()
	cmd := h.Command(t.Context(), "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// hop is what a record says of its way.
type hop struct {
	next             string
	out              int
	srcMask, dstMask uint8
}

func hopOf(r *flow.Record) hop {
	h := hop{out: int(r.OutIf), srcMask: r.SrcMask, dstMask: r.DstMask}
	if !r.NextHop.IsZero() {
		h.next = r.NextHop.Netip(r.Version).String()
	}
	return h
}

// heard waits until the sensor was told of so many changes of routes.
func heard(t *testing.T, s *Service, changes uint64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.pipeline.routes.Stats().Updates < changes; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the changes were not heard of: %+v", s.pipeline.routes.Stats())
		}
	}
}

// The records of a routed interface say where the kernel sends their packets, also after the routes have changed; those of a
// mirror port do not.
func TestRecordsCarryRoutes(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	router := l.Capture
	ip(t, router, "link add out0 type veth peer name far0", "link set far0 up", "link set out0 up",
		"addr add 10.9.0.1/16 dev out0", "addr add 2001:db8:9::1/64 dev out0 nodad",
		"route add 198.51.100.0/24 via 10.9.0.2", "route add 2001:db8:a::/48 via 2001:db8:9::2")
	ip(t, l.Generator, fmt.Sprintf("route add 198.51.100.0/24 via %s", router.IPv4), fmt.Sprintf("route add 203.0.113.0/24 via %s", router.IPv4),
		fmt.Sprintf("route add 2001:db8:a::/48 via %s", router.IPv6))
	var device *net.Interface
	if err := router.Do(func() (err error) { device, err = net.InterfaceByName("out0"); return err }); err != nil {
		t.Fatal(err)
	}
	out := device.Index
	send := func(port uint16, to string) {
		from := l.Generator.IPv4
		if netip.MustParseAddr(to).Is6() {
			from = l.Generator.IPv6
		}
		sendUDP(t, l.Generator, netip.AddrPortFrom(from, port), netip.AddrPortFrom(netip.MustParseAddr(to), 7))
	}
	for _, routed := range []bool{true, false} {
		c := configOn(t, l)
		c.Interfaces[0].Routed = routed
		_, records := serveWith(t, l, c, func(s *Service) {
			send(1, "198.51.100.1")
			send(2, "2001:db8:a::1")
			send(3, "203.0.113.1")
			// Told by messages before the flow ends, and what counts is where packets go then.
			ip(t, router, "route add 203.0.113.0/25 via 10.9.0.3", "route del 203.0.113.0/25", "route add 203.0.113.0/26 dev out0")
			if routed {
				heard(t, s, 3)
			}
		})
		want := map[uint16]hop{
			1: {"10.9.0.2", out, 25, 25}, 2: {"2001:db8:9::2", out, 65, 49}, 3: {"", out, 25, 27},
		}
		ip(t, router, "route del 203.0.113.0/26")
		if !routed {
			want = map[uint16]hop{1: {}, 2: {}, 3: {}}
		}
		got := make(map[uint16]hop)
		for i := range records {
			if r := &records[i]; r.DstPort == 7 && r.Proto == flow.ProtoUDP {
				got[r.SrcPort] = hopOf(r)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("routed %v: got %+v, want %+v", routed, got, want)
		}
	}
}
