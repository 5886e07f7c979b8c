package testnet

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Config says how a network is made. The zero value is a silent network with MTU 1500, one queue and offloads off.
type Config struct {
	Noise    Noise
	Offloads Offloads
	MTU      int // 0 is 1500
	Queues   int // receive and transmit queues of each interface; 0 is 1
}

// Net is a switch with a SPAN port. A and B talk; C gets, on an interface without addresses, a copy of every frame that
// either of them sends, once.
type Net struct {
	A, B, C *Host

	fabric *Host // the switch: two ports joined like a cable, and the span port
	cfg    Config
}

// The switch's ports. Their far ends are the hosts' interfaces.
const (
	portA    = "port-a"
	portB    = "port-b"
	portSpan = "span"
)

// New is Open for a test: it calls RequireRoot, fails the test on an error and closes the network when the test ends.
func New(tb testing.TB, cfg Config) *Net {
	tb.Helper()
	RequireRoot(tb)
	n, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Error(err)
		}
	})
	return n
}

// Open makes the network: A and B can talk at once.
func Open(cfg Config) (*Net, error) {
	n := &Net{cfg: cfg}
	err := n.open()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("test network: %w", err), n.Close())
	}
	return n, nil
}

func (n *Net) open() (err error) {
	if n.fabric, err = newHost("switch", deaf); err != nil {
		return err
	}
	if n.A, err = newHost("a", n.cfg.Noise); err != nil {
		return err
	}
	if n.B, err = newHost("b", n.cfg.Noise); err != nil {
		return err
	}
	if n.C, err = newHost("c", deaf); err != nil {
		return err
	}
	introduce(n.A, n.B)
	n.C.Interface, n.C.MAC = "mirror0", hardwareAddr(3)
	for port, host := range map[string]*Host{portA: n.A, portB: n.B} {
		if err := errors.Join(cable(n.fabric, port, host, n.cfg), host.Up()); err != nil {
			return err
		}
	}
	if err := errors.Join(n.fabric.join(portA, portB), n.fabric.join(portB, portA)); err != nil {
		return err
	}
	return n.CreateMirror()
}

// DeleteMirror removes C's interface, as when a card is pulled. A and B still talk.
func (n *Net) DeleteMirror() error { return n.C.deleteDevice(n.C.Interface) }

// CreateMirror makes C's interface again after DeleteMirror, under the same name and with a new index.
func (n *Net) CreateMirror() error {
	if err := cable(n.fabric, portSpan, n.C, n.cfg); err != nil {
		return err
	}
	return errors.Join(n.C.Up(), n.fabric.mirror(portA, portSpan), n.fabric.mirror(portB, portSpan))
}

// Close ends every program left inside and removes the namespaces.
func (n *Net) Close() error {
	return errors.Join(n.A.close(), n.B.close(), n.C.close(), n.fabric.close())
}

func hardwareAddr(number byte) net.HardwareAddr { return net.HardwareAddr{0x02, 0, 0, 0, 0, number} }

// introduce gives two hosts their interface's name and addresses, and tells each of the other.
func introduce(a, b *Host) {
	for number, h := range map[byte]*Host{1: a, 2: b} {
		h.Interface, h.MAC = "eth0", hardwareAddr(number)
		h.IPv4 = netip.AddrFrom4([4]byte{10, 77, 0, number})
		h.IPv6 = netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 15: number})
	}
	a.peer, b.peer = b, a
}

// cable makes a veth pair: device in near, and far's interface in far, which the caller sets up.
func cable(near *Host, device string, far *Host, cfg Config) error {
	mtu, queues := cmp.Or(cfg.MTU, 1500), cmp.Or(cfg.Queues, 1)
	pair := netlink.NewVeth(netlink.NewLinkAttrs())
	pair.Name, pair.MTU, pair.NumTxQueues, pair.NumRxQueues = device, mtu, queues, queues
	pair.PeerName, pair.PeerHardwareAddr, pair.PeerNamespace = far.Interface, far.MAC, netlink.NsFd(int(far.ns))
	pair.PeerMTU, pair.PeerNumTxQueues, pair.PeerNumRxQueues = uint32(mtu), uint32(queues), uint32(queues)
	far.far = end{near, device}
	if near.Interface == device {
		pair.HardwareAddr, near.far = near.MAC, end{far, far.Interface}
	}
	if err := near.handle.LinkAdd(pair); err != nil {
		return fmt.Errorf("cable from %s to %s: %w", near.Name, far.Name, err)
	}
	if err := far.SetOffloads(cfg.Offloads); err != nil {
		return err
	}
	if err := near.setOffloads(device, cfg.Offloads); err != nil {
		return err
	}
	return near.setUp(device)
}

// Two filters on a port's ingress. The mirror comes first and says "continue", so that the frame goes on to the second
// one whether or not the span port is there.
const (
	mirrorPriority = 1
	joinPriority   = 2
)

// join sends what comes in on one port out of the other: a cable. A bridge would swallow frames to 01:80:c2:00:00:0x.
func (h *Host) join(from, to string) error {
	link, err := h.handle.LinkByName(from)
	if err != nil {
		return fmt.Errorf("join %s to %s: %w", from, to, err)
	}
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	if err := h.handle.QdiscReplace(ingress); err != nil {
		return fmt.Errorf("ingress queue of %s: %w", from, err)
	}
	return h.pass(from, to, joinPriority, netlink.NewMirredAction(0))
}

// mirror copies what comes in on port out of span.
func (h *Host) mirror(port, span string) error {
	return h.pass(port, span, mirrorPriority, &netlink.MirredAction{
		ActionAttrs: netlink.ActionAttrs{Action: netlink.TC_ACT_UNSPEC}, MirredAction: netlink.TCA_EGRESS_MIRROR,
	})
}

func (h *Host) pass(from, to string, priority uint16, action *netlink.MirredAction) error {
	source, err := h.handle.LinkByName(from)
	if err != nil {
		return fmt.Errorf("port %s: %w", from, err)
	}
	target, err := h.handle.LinkByName(to)
	if err != nil {
		return fmt.Errorf("port %s: %w", to, err)
	}
	action.Ifindex = target.Attrs().Index
	filter := &netlink.U32{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: source.Attrs().Index, Parent: netlink.MakeHandle(0xffff, 0), Priority: priority, Protocol: unix.ETH_P_ALL,
		},
		Actions: []netlink.Action{action},
	}
	// An older filter of this priority holds a device that is gone. The first time there is none: that error says nothing.
	_ = h.handle.FilterDel(filter)
	if err := h.handle.FilterAdd(filter); err != nil {
		return fmt.Errorf("pass frames from %s to %s: %w", from, to, err)
	}
	return nil
}
