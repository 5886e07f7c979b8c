package capture

import (
	"errors"
	"fmt"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
)

var errNotPromiscuous = errors.New("the interface did not become promiscuous")

// promiscuityHolder keeps an interface promiscuous for as long as it is open. The kernel counts the holders, and lets go
// when the socket closes, also by a crash, which IFF_PROMISC would not.
type promiscuityHolder struct {
	conn *packet.Conn
}

// holdPromiscuous takes promiscuity on a socket of protocol 0, which receives nothing, and reads it back: setting it is
// known to fail without a word.
func holdPromiscuous(h *netlink.Handle, dev device) (*promiscuityHolder, error) {
	conn, err := packet.Listen(dev.iface(), packet.Raw, 0, nil)
	if err != nil {
		return nil, fmt.Errorf("make %s promiscuous: %w", dev.name, explain(err))
	}
	if err := takePromiscuous(h, dev, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("make %s promiscuous: %w", dev.name, explain(err)), conn.Close())
	}
	return &promiscuityHolder{conn: conn}, nil
}

func takePromiscuous(h *netlink.Handle, dev device, conn *packet.Conn) error {
	before, err := lookUp(h, dev.name)
	if err != nil {
		return err
	}
	if err := conn.SetPromiscuous(true); err != nil {
		return err
	}
	after, err := lookUp(h, dev.name)
	if err != nil {
		return err
	}
	if after.promiscuity <= before.promiscuity {
		return errNotPromiscuous
	}
	return nil
}

// release lets go. A nil holder holds nothing.
func (p *promiscuityHolder) release() error {
	if p == nil {
		return nil
	}
	return p.conn.Close()
}
