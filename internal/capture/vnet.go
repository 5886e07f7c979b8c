package capture

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// Of a packet that was merged from segments (GRO, LRO; TSO of what a veth pair or loopback passes on as it is) the kernel
// says how long each segment's payload was, in the struct virtio_net_hdr (linux/virtio_net.h) that PACKET_VNET_HDR puts
// right in front of the frame. From that follows what was on the wire.
//
// Before Linux 6.2 virtio_net_hdr_from_skb knows no UDP GRO and the packet is dropped; since then it is so only for kinds that
// no card merges, SCTP's and UFO's. Such a packet counts as dropped, but has taken its place in the block: blocks.walk.
const (
	vnetHeader   = 10 // octets of struct virtio_net_hdr
	vnetGSOType  = 1  // offset, an octet
	vnetGSOSize  = 4  // offset, two octets, in the machine's order (vio_le in net/packet/af_packet.c)
	vnetTCPv4    = 1  // VIRTIO_NET_HDR_GSO_TCPV4
	vnetTCPv6    = 4  // VIRTIO_NET_HDR_GSO_TCPV6
	vnetUDP      = 5  // VIRTIO_NET_HDR_GSO_UDP_L4
	vnetTypeMask = 0x7f
)

// vnetPolicy says whether to ask the kernel for the segments of merged packets.
type vnetPolicy bool

// vnetFor: the gopacket engine cannot, and older kernels lose packets by it.
func vnetFor(e Engine) vnetPolicy {
	var name unix.Utsname
	if e != EngineRing || unix.Uname(&name) != nil {
		return false
	}
	return vnetPolicy(ReleaseAtLeast(unix.ByteSliceToString(name.Release[:]), 6, 2))
}

// ReleaseAtLeast compares a kernel release, such as "6.1.0-28-amd64". One that cannot be read is older.
func ReleaseAtLeast(release string, major, minor int) bool {
	var a, b int
	if n, err := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 || err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

// setVnet has the kernel put the header in front of each frame. It must be before there is a ring.
func setVnet(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("set PACKET_VNET_HDR: %w", err)
	}
	return nil
}

// readVnet takes what the header says of segments into f.
func readVnet(f *frame.Frame, header []byte) {
	f.SegmentSize = binary.NativeEndian.Uint16(header[vnetGSOSize:])
	switch header[vnetGSOType] & vnetTypeMask { // without VIRTIO_NET_HDR_GSO_ECN
	case vnetTCPv4, vnetTCPv6:
		f.SegmentProto = flow.ProtoTCP
	case vnetUDP:
		f.SegmentProto = flow.ProtoUDP
	default:
		f.SegmentSize, f.SegmentProto = 0, 0
	}
}
