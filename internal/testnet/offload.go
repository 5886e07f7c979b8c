package testnet

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
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

// The parts of linux/ethtool_netlink.h that setting features takes.
const (
	ethtoolFeaturesSet    = 12 // ETHTOOL_MSG_FEATURES_SET
	ethtoolFeaturesHeader = 1  // ETHTOOL_A_FEATURES_HEADER
	ethtoolFeaturesWanted = 3  // ETHTOOL_A_FEATURES_WANTED
	ethtoolHeaderDevName  = 2  // ETHTOOL_A_HEADER_DEV_NAME
	ethtoolBitsetBits     = 3  // ETHTOOL_A_BITSET_BITS
	ethtoolBitsetBit      = 1  // ETHTOOL_A_BITSET_BITS_BIT
	ethtoolBitName        = 2  // ETHTOOL_A_BITSET_BIT_NAME
	ethtoolBitValue       = 3  // ETHTOOL_A_BITSET_BIT_VALUE
)

func (h *Host) setOffloads(device string, state Offloads) error {
	err := h.Do(func() error {
		family, err := netlink.GenlFamilyGet("ethtool")
		if err != nil {
			return err
		}
		header := nl.NewRtAttr(unix.NLA_F_NESTED|ethtoolFeaturesHeader, nil)
		header.AddRtAttr(ethtoolHeaderDevName, nl.ZeroTerminated(device))
		wanted := nl.NewRtAttr(unix.NLA_F_NESTED|ethtoolFeaturesWanted, nil)
		bits := wanted.AddRtAttr(unix.NLA_F_NESTED|ethtoolBitsetBits, nil)
		for _, name := range offloadFeatures() {
			bit := bits.AddRtAttr(unix.NLA_F_NESTED|ethtoolBitsetBit, nil)
			bit.AddRtAttr(ethtoolBitName, nl.ZeroTerminated(name))
			if state == OffloadsOn {
				bit.AddRtAttr(ethtoolBitValue, nil)
			}
		}
		req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		req.AddData(&nl.Genlmsg{Command: ethtoolFeaturesSet, Version: nl.GENL_CTRL_VERSION})
		req.AddData(header)
		req.AddData(wanted)
		_, err = req.Execute(unix.NETLINK_GENERIC, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("offloads of %s in %s: %w", device, h.Name, err)
	}
	return nil
}
