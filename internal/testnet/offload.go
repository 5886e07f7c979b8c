package testnet

import (
	"fmt"

	"github.com/safchain/ethtool"
)

// Offloads says whether interfaces merge and split segments.
type Offloads uint8

// The states of offloads.
const (
	// OffloadsOff: every frame on the wire is as a real wire carries it, at most the MTU long and with its checksum.
	OffloadsOff Offloads = iota
	// OffloadsOn: TSO and GSO on the sending side and GRO on the receiving side, so that a capture sees merged segments.
	OffloadsOn
)

// The kernel's names (net/ethtool/common.c) of the features that Offloads switches.
func offloadFeatures() []string {
	return []string{
		"rx-gro", "tx-generic-segmentation", "tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation",
		"tx-tcp6-segmentation", "tx-udp-segmentation", "tx-sctp-segmentation", "tx-checksum-ip-generic",
	}
}

// SetOffloads switches the interface's offloads, as ethtool -K does.
func (h *Host) SetOffloads(state Offloads) error { return h.setOffloads(h.Interface, state) }

func (h *Host) setOffloads(device string, state Offloads) error {
	wanted := make(map[string]bool)
	for _, name := range offloadFeatures() {
		wanted[name] = state == OffloadsOn
	}
	err := h.Do(func() error {
		tool, err := ethtool.NewEthtool() // its socket belongs to the namespace
		if err != nil {
			return err
		}
		defer tool.Close()
		return tool.Change(device, wanted)
	})
	if err != nil {
		return fmt.Errorf("offloads of %s in %s: %w", device, h.Name, err)
	}
	return nil
}
