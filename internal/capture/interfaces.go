package capture

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"flowsensor/internal/frame"
)

// Interface describes one network interface for whoever has to choose one.
type Interface struct {
	Name        string
	Index       int
	Type        string // kind of device in the kernel's words: "device" for hardware, "veth", "bridge", "tuntap" and so on
	Hardware    string // link-layer type: "ether", "loopback", "none" and so on
	State       LinkState
	MTU         int
	MAC         net.HardwareAddr
	Addresses   []netip.Prefix
	Promiscuity int    // how many hold it promiscuous
	Driver      string // "" where the driver does not say
	Offloads    Offloads
	LinkType    frame.LinkType // how its frames begin, where it can be captured on
	Refusal     error          // why it cannot be captured on, nil where it can
}

// Interfaces lists the interfaces of the calling thread's network namespace by index. It needs no privilege.
func Interfaces() ([]Interface, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	defer handle.Close()
	tool, err := openEthtool()
	if err != nil {
		return nil, err
	}
	defer func() { _ = tool.close() }()
	links, err := handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	addresses, err := addressesByIndex(handle)
	if err != nil {
		return nil, err
	}
	var all []Interface
	for _, link := range links {
		dev := deviceOf(link.Attrs())
		i := Interface{
			Name: dev.name, Index: dev.index, Type: link.Type(), Hardware: dev.hardware, State: dev.state,
			MTU: dev.attrs.MTU, MAC: dev.attrs.HardwareAddr, Addresses: addresses[dev.index], Promiscuity: dev.promiscuity,
			Driver: tool.driver(dev.name), Offloads: tool.offloads(dev.name),
		}
		i.LinkType, i.Refusal = linkTypeOf(dev.hardware)
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Interface) int { return a.Index - b.Index })
	return all, nil
}

func addressesByIndex(handle *netlink.Handle) (map[int][]netip.Prefix, error) {
	list, err := handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	all := make(map[int][]netip.Prefix)
	for _, a := range list {
		if p, ok := prefixOf(a.IPNet); ok {
			all[a.LinkIndex] = append(all[a.LinkIndex], p)
		}
	}
	return all, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if bits == 32 {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, ones), ok
}
