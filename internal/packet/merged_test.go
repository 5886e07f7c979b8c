package packet_test

import (
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// What the kernel merged counts as the segments that were on the wire: each had the headers.
func TestMergedSegments(t *testing.T) {
	stamped := join(portPair, octets("00000001 00000000 8 010 ffff 0000 0000"), zeros(12)) // with timestamps
	options := extension(6, zeros(6))
	for _, c := range []struct {
		name     string
		frame    []byte
		len      uint32 // on the wire, where the length field is none
		size     uint16
		proto    uint8
		packets  uint32
		bytes    uint64
		resolved bool
	}{
		{"TCP", ip{version: 4, proto: 6, length: 40 + 3*1460}.inEthernet(tcpSYN), 0, 1460, 6, 3, 3 * 1500, true},
		{"a short last one", ip{version: 4, proto: 6, length: 40 + 2*1460 + 1}.inEthernet(tcpSYN), 0, 1460, 6, 3, 2*1500 + 41, true},
		{"TCP options", ip{version: 4, proto: 6, length: 52 + 2*1448}.inEthernet(stamped), 0, 1448, 6, 2, 3000, true},
		{"IP options", ip{version: 4, proto: 6, length: 44 + 2*1456, options: zeros(4)}.inEthernet(tcpSYN), 0, 1456, 6, 2, 3000, true},
		{"beyond the length field", ip{version: 4, proto: 6, noLen: true}.inEthernet(tcpSYN), 14 + 40 + 100*1460, 1460, 6, 100, 100 * 1500, true},
		{"one segment", ip{version: 4, proto: 6, length: 40 + 100}.inEthernet(tcpSYN), 0, 1460, 6, 1, 140, true},
		{"no payload", ip{version: 4, proto: 6}.inEthernet(tcpSYN), 0, 1460, 6, 1, 40, true},
		{"UDP", ip{version: 4, proto: 17, length: 28 + 10*1000 + 10}.inEthernet(udp), 0, 1000, 17, 11, 10*1028 + 38, true},
		{"IPv6", ip{version: 6, proto: 6, length: 20 + 3*1440}.inEthernet(tcpSYN), 0, 1440, 6, 3, 3 * 1500, true},
		{"IPv6 UDP", ip{version: 6, proto: 17, length: 8 + 2*1000}.inEthernet(udp), 0, 1000, 17, 2, 2 * 1048, true},
		{"IPv6 options", ip{version: 6, proto: 60, chain: options, length: 28 + 2*1432}.inEthernet(tcpSYN), 0, 1432, 6, 2, 3000, true},
		{"IPv6 beyond 64 KiB", ip{version: 6, proto: 6, noLen: true}.inEthernet(tcpSYN), 14 + 60 + 100*1440, 1440, 6, 100, 100 * 1500, true},
		{"IPv6 with the kernel's jumbo header", ip{version: 6, proto: 0, noLen: true, chain: jumbo(17, 8+8+100*1000)}.inEthernet(udp), 14 + 40 + 8 + 8 + 100*1000, 1000, 17, 100, 100 * 1048, true},
		{"behind a tag", join(ethernet, tag10, etherIPv4, ip{version: 4, proto: 6, length: 40 + 2*1460}.wrap(tcpSYN)), 0, 1460, 6, 2, 3000, true},
		{"in a tunnel", ip{version: 4, proto: 47, length: 5000}.inEthernet(gre), 0, 1400, 6, 1, 5000, false},
		{"TCP in UDP", ip{version: 4, proto: 17, length: 5000}.inEthernet(udp), 0, 1400, 6, 1, 5000, false},
		{"cut in the header", ip{version: 4, proto: 6, length: 5000}.inEthernet(tcpSYN[:10]), 0, 1400, 6, 1, 5000, false},
	} {
		d := packet.NewDecoder(packet.Config{MaxFragments: 4})
		f := frame.Frame{Data: c.frame, Len: max(c.len, uint32(len(c.frame))), Link: frame.Ethernet, SegmentSize: c.size, SegmentProto: c.proto}
		p := stale()
		if r := d.Decode(&p, &f); r != packet.OK {
			t.Errorf("%s: %s", c.name, r)
			continue
		}
		if p.Packets != c.packets || p.Bytes != c.bytes {
			t.Errorf("%s: %d packets of %d octets, want %d of %d", c.name, p.Packets, p.Bytes, c.packets, c.bytes)
		}
		if noted := d.Stats().Notes[packet.NoteMergedUnresolved] != 0; noted == c.resolved {
			t.Errorf("%s: noted is %v", c.name, noted)
		}
		if p.Proto != flow.ProtoTCP && p.Proto != flow.ProtoUDP && p.Proto != flow.ProtoGRE {
			t.Errorf("%s: protocol %d", c.name, p.Proto)
		}
	}
}
