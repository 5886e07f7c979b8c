package pcapfile

import (
	"bytes"
	"fmt"

	"flowsensor/internal/frame"
)

var gzipMagic = []byte{0x1f, 0x8b}

// foreign are other kinds of file that people take for captures, by how they begin.
var foreign = []struct{ magic, what string }{
	{"snoop\x00\x00\x00", "a snoop capture (Solaris)"},
	{"btsnoop\x00", "a Bluetooth capture (btsnoop)"},
	{"XCP\x00", "a Network Associates Sniffer capture"},
	{"TRSNIFF data    ", "a Network General Sniffer capture"},
	{"RTSS", "a Microsoft Network Monitor 1 capture"},
	{"GMBU", "a Microsoft Network Monitor 2 capture"},
	{"iptrace 1.0", "an AIX iptrace capture"},
	{"iptrace 2.0", "an AIX iptrace capture"},
	{"\x7fver", "a Visual Networks or WildPackets capture"},
	{"\xa1\xb2\x34\xcd", "pcap in Mesquita's variant"},
	{"\xcd\x34\xb2\xa1", "pcap in Mesquita's variant"},
	{"\xa1\x2b\x3c\x4d", "pcap in Navtel's variant"},
	{"\x4d\x3c\x2b\xa1", "pcap in Navtel's variant"},
	{"\x1c\x00\x01\xac", "an Ixia lcap capture"},
	{"\xac\x01\x00\x1c", "an Ixia lcap capture"},
	{"\x1c\x00\x01\xab", "an Ixia lcap capture"},
	{"\xab\x01\x00\x1c", "an Ixia lcap capture"},
	{"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"},
	{"\xfd7zXZ\x00", "compressed with xz: unpack it first"},
	{"BZh", "compressed with bzip2: unpack it first"},
	{"\x04\x22\x4d\x18", "compressed with lz4: unpack it first"},
	{"PK\x03\x04", "a zip archive: unpack it first"},
	{"\xcf\x10", "a flow-tools file"},
	{"\x1f\x8b", "gzip within gzip: unpack it first"},
}

// identify says what a file is that is no capture file, as well as its beginning tells.
func identify(head []byte) string {
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return "this is " + f.what
		}
	}
	// A control frame (an escape of four zero bytes and a length) of type START.
	if len(head) > 12 && bytes.HasPrefix(head, make([]byte, 6)) && bytes.Equal(head[8:12], []byte{0, 0, 0, 2}) {
		return "this is a frame stream, as dnstap files are"
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return "this is a tar archive: unpack it first"
	}
	begin := head[:min(len(head), 16)]
	if bytes.IndexFunc(begin, func(c rune) bool { return c != '\n' && c != '\r' && c != '\t' && (c < ' ' || c > '~') }) < 0 {
		return fmt.Sprintf("this is text: it begins with %q", begin)
	}
	return fmt.Sprintf("the file begins with %x, which is neither pcap nor pcapng", begin)
}

// linkNames are the link types that are met and not understood, in the words of tcpdump -L.
var linkNames = map[frame.LinkType]string{
	3: "AX25", 6: "IEEE802", 7: "ARCNET", 8: "SLIP", 10: "FDDI", 100: "ATM_RFC1483", 104: "C_HDLC", 105: "IEEE802_11",
	106: "ATM_CLIP", 107: "FRELAY", 114: "LTALK", 117: "PFLOG", 119: "PRISM_HEADER", 122: "IP_OVER_FC", 123: "SUNATM",
	127: "IEEE802_11_RADIO", 129: "ARCNET_LINUX", 132: "JUNIPER_ES", 137: "JUNIPER_ATM1", 138: "APPLE_IP_OVER_IEEE1394",
	140: "MTP2", 141: "MTP3", 142: "SCCP", 143: "DOCSIS", 163: "IEEE802_11_RADIO_AVS", 164: "JUNIPER_MONITOR",
	166: "PPP_PPPD", 178: "JUNIPER_ETHER", 182: "MFR", 187: "BLUETOOTH_HCI_H4", 189: "USB_LINUX", 192: "PPI",
	195: "IEEE802_15_4", 197: "ERF", 201: "BLUETOOTH_HCI_H4_WITH_PHDR", 220: "USB_LINUX_MMAPPED", 227: "CAN_SOCKETCAN",
	231: "DBUS", 239: "NFLOG", 249: "USBPCAP", 253: "NETLINK", 258: "PKTAP", 284: "DSA_TAG_DSA",
}

const (
	firstUser = 147
	lastUser  = 162
)

func linkName(l frame.LinkType) string {
	name := linkNames[l]
	switch {
	case l >= firstUser && l <= lastUser:
		name = fmt.Sprintf("USER%d", l-firstUser)
	case name == "":
		return fmt.Sprint(uint32(l))
	}
	return fmt.Sprintf("%s (%d)", name, uint32(l))
}
