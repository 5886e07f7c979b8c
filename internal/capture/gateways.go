package capture

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Gateway is a next hop that the kernel routes to.
type Gateway struct {
	Destination netip.Prefix // 0.0.0.0/0 or ::/0 for a default route
	Via         netip.Addr   // the zero Addr for a default route straight onto a link
	Interface   string
	Metric      int
	Table       int
}

// Gateways lists the default routes and all routes over a gateway, of every table: defaults first, IPv4 before IPv6, the
// preferred one first. It needs no privilege.
func Gateways() ([]Gateway, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	routes, err := handle.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var all []Gateway
	for _, r := range routes {
		all = append(all, nextHops(r, names)...)
	}
	slices.SortFunc(all, compareGateways)
	return all, nil
}

// nextHops gives a route's next hops.
func nextHops(r netlink.Route, names map[int]string) []Gateway {
	var destination netip.Prefix
	switch r.Family {
	case netlink.FAMILY_V4:
		destination = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	case netlink.FAMILY_V6:
		destination = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	default:
		return nil
	}
	if r.Type != unix.RTN_UNICAST {
		return nil // local, broadcast, unreachable
	}
	if p, ok := prefixOf(r.Dst); ok {
		destination = p
	}
	hops := r.MultiPath
	if len(hops) == 0 {
		hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw, Via: r.Via}}
	}
	var all []Gateway
	for _, hop := range hops {
		via := hopAddr(hop)
		if via.IsValid() || destination.Bits() == 0 {
			all = append(all, Gateway{
				Destination: destination, Via: via, Interface: names[hop.LinkIndex], Metric: r.Priority, Table: r.Table,
			})
		}
	}
	return all
}

// hopAddr gives the address of a next hop, the zero Addr if it has none. It may be of the other IP version (RTA_VIA).
func hopAddr(hop *netlink.NexthopInfo) netip.Addr {
	ip := hop.Gw
	if v, ok := hop.Via.(*netlink.Via); ok && v != nil {
		ip = v.Addr
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

func compareGateways(a, b Gateway) int {
	aDefault, bDefault := a.Destination.Bits() == 0, b.Destination.Bits() == 0
	switch {
	case aDefault && !bDefault:
		return -1
	case bDefault && !aDefault:
		return 1
	}
	if c := a.Destination.Compare(b.Destination); c != 0 {
		return c
	}
	if c := a.Metric - b.Metric; c != 0 {
		return c
	}
	return strings.Compare(a.Interface+a.Via.String(), b.Interface+b.Via.String())
}
