package capture

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"flowsensor/internal/frame"
)

// ErrNoInterface says that there is no interface of that name.
var ErrNoInterface = errors.New("no such interface")

// LinkState says whether an interface can receive.
type LinkState uint8

// The states of a link.
const (
	LinkMissing   LinkState = iota // no interface of that name
	LinkDown                       // set down
	LinkNoCarrier                  // set up, but no signal
	LinkUp
)

var linkStateNames = []string{"missing", "down", "no_carrier", "up"}

func (s LinkState) String() string { return enumText(linkStateNames, s) }

// device is what the kernel says of an interface.
type device struct {
	name        string
	index       int
	hardware    string // link-layer type in netlink's words
	state       LinkState
	promiscuity int // how many hold it promiscuous
	attrs       *netlink.LinkAttrs
}

func (d device) iface() *net.Interface { return &net.Interface{Index: d.index, Name: d.name} }

// lookUp asks for an interface by name. One that is not there is ErrNoInterface.
func lookUp(h *netlink.Handle, name string) (device, error) {
	link, err := h.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return device{name: name}, ErrNoInterface
	}
	if err != nil {
		return device{name: name}, fmt.Errorf("look up interface %s: %w", name, err)
	}
	return deviceOf(link.Attrs()), nil
}

func deviceOf(attrs *netlink.LinkAttrs) device {
	return device{
		name: attrs.Name, index: attrs.Index, hardware: attrs.EncapType, state: stateOf(attrs.RawFlags),
		promiscuity: attrs.Promisc, attrs: attrs,
	}
}

func stateOf(flags uint32) LinkState {
	switch {
	case flags&unix.IFF_UP == 0:
		return LinkDown
	case flags&unix.IFF_LOWER_UP == 0:
		return LinkNoCarrier
	default:
		return LinkUp
	}
}

// missingInterface is the error for a name that is not there: it names those that are.
func missingInterface(h *netlink.Handle, name string) error {
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, ErrNoInterface)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	slices.Sort(names)
	return fmt.Errorf("interface %s: %w; there are %s", name, ErrNoInterface, strings.Join(names, ", "))
}

// linkTypeOf says how frames of an interface begin as an AF_PACKET socket of type SOCK_RAW receives them, by its ARPHRD
// type in the words of netlink. A device without header_ops hands over bare IP: tunnels, and PPP too, whose protocol
// field ppp_receive_nonmp_frame (drivers/net/ppp/ppp_generic.c) pulls off before the packet is seen here.
func linkTypeOf(hardware string) (frame.LinkType, error) {
	switch hardware {
	case "ether", "loopback":
		return frame.Ethernet, nil
	case "none", "ipip", "tunnel6", "sit", "gre", arphrdIP6GRE, arphrdRawIP, "ppp":
		return frame.Raw, nil
	default:
		return 0, fmt.Errorf("link-layer type %s cannot be captured: only Ethernet, loopback, IP tunnels and PPP can", hardware)
	}
}

// What netlink has no word for.
const (
	arphrdRawIP  = "unknown519" // ARPHRD_RAWIP: mobile modems
	arphrdIP6GRE = "unknown823" // ARPHRD_IP6GRE
)
