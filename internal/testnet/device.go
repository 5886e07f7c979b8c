package testnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Counters are an interface's own counts since it was made.
type Counters struct {
	RxPackets, RxBytes, RxDropped, RxErrors uint64
	TxPackets, TxBytes, TxDropped, TxErrors uint64
}

// Counters reads the interface's counts.
func (h *Host) Counters() (Counters, error) {
	link, err := h.handle.LinkByName(h.Interface)
	if err != nil {
		return Counters{}, h.failed("counters", err)
	}
	s := link.Attrs().Statistics
	return Counters{
		RxPackets: s.RxPackets, RxBytes: s.RxBytes, RxDropped: s.RxDropped, RxErrors: s.RxErrors,
		TxPackets: s.TxPackets, TxBytes: s.TxBytes, TxDropped: s.TxDropped, TxErrors: s.TxErrors,
	}, nil
}

// Index is the interface's index, which changes when it is made again.
func (h *Host) Index() (int, error) {
	link, err := h.handle.LinkByName(h.Interface)
	if err != nil {
		return 0, h.failed("index", err)
	}
	return link.Attrs().Index, nil
}

// Promiscuity is how many hold the interface in promiscuous mode.
func (h *Host) Promiscuity() (int, error) {
	link, err := h.handle.LinkByName(h.Interface)
	if err != nil {
		return 0, h.failed("promiscuity", err)
	}
	return link.Attrs().Promisc, nil
}

// Up sets the interface up, with its addresses and fixed neighbours, which go when an interface goes down, and waits until
// frames pass, where the cable's other end is up too.
func (h *Host) Up() error {
	if err := h.configure(); err != nil {
		return h.failed("up", err)
	}
	far, err := h.far.host.handle.LinkByName(h.far.device)
	if err == nil && far.Attrs().Flags&net.FlagUp != 0 {
		err = errors.Join(h.awaitUp(h.Interface), h.far.host.awaitUp(h.far.device))
	}
	return h.failed("up", err)
}

// awaitUp waits for the kernel's link watch: an interface whose carrier has just come drops what it is given to send
// until the watch has run, a moment later (net/core/link_watch.c).
func (h *Host) awaitUp(device string) error {
	return h.await(device, func() (bool, error) {
		link, err := h.handle.LinkByName(device)
		return err == nil && link.Attrs().OperState == netlink.OperUp, err
	})
}

// awaitAddress waits until the IPv6 address takes packets: the kernel makes its local route on a work queue, also where
// no duplicate is looked for (addrconf_dad_start in net/ipv6/addrconf.c).
func (h *Host) awaitAddress() error {
	local := &netlink.Route{
		Table: unix.RT_TABLE_LOCAL, Dst: &net.IPNet{IP: h.IPv6.AsSlice(), Mask: net.CIDRMask(128, 128)},
	}
	return h.await(h.Interface, func() (bool, error) {
		routes, err := h.handle.RouteListFiltered(netlink.FAMILY_V6, local, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST)
		return len(routes) > 0, err
	})
}

func (h *Host) await(device string, ready func() (bool, error)) error {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for range 5000 {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		<-poll.C
	}
	return fmt.Errorf("%s in %s does not come up: %w", device, h.Name, os.ErrDeadlineExceeded)
}

// Down sets the interface down.
func (h *Host) Down() error {
	link, err := h.handle.LinkByName(h.Interface)
	if err == nil {
		err = h.handle.LinkSetDown(link)
	}
	return h.failed("down", err)
}

// SetMTU changes the interface's MTU.
func (h *Host) SetMTU(mtu int) error {
	link, err := h.handle.LinkByName(h.Interface)
	if err == nil {
		err = h.handle.LinkSetMTU(link, mtu)
	}
	return h.failed("set MTU", err)
}

func (h *Host) setUp(device string) error {
	link, err := h.handle.LinkByName(device)
	if err == nil {
		err = h.handle.LinkSetUp(link)
	}
	return h.failed("up", err)
}

func (h *Host) deleteDevice(device string) error {
	link, err := h.handle.LinkByName(device)
	if err == nil {
		err = h.handle.LinkDel(link)
	}
	return h.failed("delete", err)
}

func (h *Host) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s of %s in %s: %w", what, h.Interface, h.Name, err)
}

// configure sets the interface up and gives it its addresses and, on a silent network, its one neighbour.
func (h *Host) configure() error {
	link, err := h.handle.LinkByName(h.Interface)
	if err != nil {
		return err
	}
	if h.noise != Chatty {
		// An interface without ARP joins no solicited-node group, so it sends no multicast listener report either.
		if err := h.handle.LinkSetARPOff(link); err != nil {
			return err
		}
	}
	if err := h.handle.LinkSetUp(link); err != nil {
		return err
	}
	for _, a := range h.addresses() {
		mask := net.CIDRMask(prefixBits(a), a.BitLen())
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: mask}, Flags: unix.IFA_F_NODAD}
		if err := h.handle.AddrReplace(link, addr); err != nil {
			return err
		}
	}
	if h.IPv6.IsValid() {
		if err := h.awaitAddress(); err != nil {
			return err
		}
	}
	if h.noise == Chatty || h.peer == nil {
		return nil
	}
	for _, a := range h.peer.addresses() {
		neigh := &netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: h.peer.MAC,
		}
		if err := h.handle.NeighSet(neigh); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) addresses() []netip.Addr {
	if !h.IPv4.IsValid() {
		return nil
	}
	return []netip.Addr{h.IPv4, h.IPv6}
}

func prefixBits(a netip.Addr) int {
	if a.Is4() {
		return 24
	}
	return 64
}
