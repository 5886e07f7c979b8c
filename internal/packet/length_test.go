package packet_test

import (
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// jumbo is a hop-by-hop options header with the jumbo payload option.
func jumbo(next, length int) []byte { return extension(next, join(octets("c2 04"), u32(length))) }

func TestLength(t *testing.T) {
	large := zeros(2000)
	for _, c := range []struct {
		name  string
		frame []byte
		len   uint32 // on the wire, where more than was captured
		bytes uint64
		ports bool
		noted bool // the length was the frame's
	}{
		{"IPv4", ip{version: 4, proto: 6}.inEthernet(tcpSYN), 0, 40, true, false},
		{"IPv4 with padding", join(ip{version: 4, proto: 6}.inEthernet(tcpSYN), zeros(6)), 0, 40, true, false},
		{"IPv4 cut", ip{version: 4, proto: 6, length: 1500}.inEthernet(tcpSYN), 1514, 1500, true, false},
		{"IPv4 that says more than there is", ip{version: 4, proto: 6, length: 1500}.inEthernet(tcpSYN), 0, 1500, true, false},
		{"IPv4 that says less than there is", ip{version: 4, proto: 6, length: 22}.inEthernet(tcpSYN), 0, 22, false, false},
		{"IPv4 to be segmented", ip{version: 4, proto: 6, noLen: true}.inEthernet(tcpSYN, large), 0, 2040, true, true},
		{"IPv4 to be segmented, cut", ip{version: 4, proto: 6, noLen: true}.inEthernet(tcpSYN), 80014, 80000, true, true},
		{"the same behind a tag", join(ethernet, tag10, etherIPv4, ip{version: 4, proto: 6, noLen: true}.wrap(tcpSYN)), 80018, 80000, true, true},
		{"IPv6", ip{version: 6, proto: 6}.inEthernet(tcpSYN), 0, 60, true, false},
		{"IPv6 that says less than there is", ip{version: 6, proto: 6, length: 3}.inEthernet(tcpSYN), 0, 43, false, false},
		{"IPv6 to be segmented", ip{version: 6, proto: 6, noLen: true}.inEthernet(tcpSYN, large), 0, 2060, true, true},
		{"IPv6 beyond 64 KiB, cut", ip{version: 6, proto: 6, noLen: true}.inEthernet(tcpSYN), 80014, 80000, true, true},
		{"IPv6 jumbogram", ip{version: 6, proto: 0, noLen: true, chain: jumbo(6, 70000)}.inEthernet(tcpSYN), 70054, 70040, true, false},
		{"IPv6 jumbogram, cut", ip{version: 6, proto: 0, noLen: true, chain: jumbo(6, 1<<20)}.inEthernet(), 14 + 40 + 1<<20, 40 + 1<<20, false, false},
		{"IPv6 jumbogram that says more than there is", ip{version: 6, proto: 0, noLen: true, chain: jumbo(6, 1<<32-1)}.inEthernet(tcpSYN), 0, 68, true, true},
		{"IPv6 with nothing behind it", join(ip{version: 6, proto: 59, noLen: true}.inEthernet(), zeros(6)), 0, 40, false, false},
		{"IPv6 empty in the least frame", join(ip{version: 6, proto: 6, noLen: true}.inEthernet(), zeros(6)), 0, 40, false, false},
		{"IPv6 jumbogram without the option", ip{version: 6, proto: 0, noLen: true, chain: extension(6, octets("01 04 00000000"))}.inEthernet(tcpSYN), 70054, 40, false, false},
		{"IPv6 jumbogram behind padding", ip{version: 6, proto: 0, noLen: true, chain: extension(6, join(octets("00 01 03 000000 c2 04"), u32(70000), octets("01 00")))}.inEthernet(tcpSYN), 70062, 70040, true, false},
		{"IPv6 jumbo option with a length", ip{version: 6, proto: 0, chain: jumbo(6, 70000)}.inEthernet(tcpSYN), 0, 68, true, false},
		{"IPv6 endless options", ip{version: 6, proto: 0, noLen: true, chain: extension(6, zeros(62))}.inEthernet(tcpSYN), 0, 40, false, false},
		{"IPv6 jumbogram cut before the option", ip{version: 6, proto: 0, noLen: true}.inEthernet(), 70054, 40, false, false},
	} {
		d := packet.NewDecoder(packet.Config{})
		f := on(frame.Ethernet, c.frame)
		f.Len = max(f.Len, c.len)
		p := stale()
		if r := d.Decode(&p, &f); r != packet.OK {
			t.Errorf("%s: %v", c.name, r)
			continue
		}
		noted := d.Stats().Notes[packet.NoteLengthFromFrame] == 1
		if p.Bytes != c.bytes || (p.SrcPort == 40000) != c.ports || noted != c.noted {
			t.Errorf("%s: %d octets, source port %d, noted %v; want %d, ports %v, noted %v", c.name, p.Bytes, p.SrcPort, noted, c.bytes, c.ports, c.noted)
		}
	}
}

// TestLengthBelowCapture holds that a frame whose length on the wire is a lie counts for what was captured.
func TestLengthBelowCapture(t *testing.T) {
	f := on(frame.Ethernet, ip{version: 4, proto: 6, noLen: true}.inEthernet(tcpSYN))
	f.Len = 3
	if p, r := decode(f); r != packet.OK || p.Bytes != 40 {
		t.Errorf("%v, %d octets", r, p.Bytes)
	}
}

// cutRow is a frame and where its headers end, in octets.
type cutRow struct {
	name  string
	frame []byte
	ip    int // of the addresses: from here on it is accounted
	ports int
	flags int // 0 without any
}

// TestCut cuts frames at every octet: a frame is accounted as soon as the IP header is whole, always with the same key
// fields and octets, and with ports as soon as they are there.
func TestCut(t *testing.T) {
	for _, c := range []cutRow{
		{"IPv4 TCP", ip{version: 4, proto: 6}.inEthernet(tcpSYN), 34, 38, 48},
		{"IPv4 TCP with options", ip{version: 4, proto: 6, options: zeros(12)}.inEthernet(tcpSYN), 34, 50, 60},
		{"IPv4 UDP", ip{version: 4, proto: 17}.inEthernet(udp), 34, 38, 0},
		{"IPv6 TCP", ip{version: 6, proto: 6}.inEthernet(tcpSYN), 54, 58, 68},
		{"IPv6 SCTP", ip{version: 6, proto: 132}.inEthernet(sctp), 54, 58, 0},
		{"tagged", join(ethernet, tag10, etherIPv6, ip{version: 6, proto: 17}.wrap(udp)), 58, 62, 0},
	} {
		whole, r := decode(on(frame.Ethernet, c.frame))
		if r != packet.OK {
			t.Fatalf("%s: %v", c.name, r)
		}
		for n := range len(c.frame) {
			c.check(t, whole, n)
		}
	}
}

func (c cutRow) check(t *testing.T, want flow.Packet, n int) {
	t.Helper()
	d := packet.NewDecoder(packet.Config{})
	f := on(frame.Ethernet, c.frame[:n:n])
	f.Len = uint32(len(c.frame))
	p := stale()
	r := d.Decode(&p, &f)
	if (r == packet.OK) != (n >= c.ip) {
		t.Errorf("%s at %d: %v", c.name, n, r)
	}
	if r != packet.OK {
		return
	}
	if n < c.ports {
		want.SrcPort, want.DstPort = 0, 0
	}
	if n < c.flags {
		want.TCPFlags = 0
	}
	truncated := d.Stats().Notes[packet.NotePortsTruncated] == 1
	if p != want || truncated != (n < max(c.ports, c.flags)) {
		t.Errorf("%s at %d: truncated %v\n got %+v\nwant %+v", c.name, n, truncated, p, want)
	}
}

func TestExtensions(t *testing.T) {
	nested := extension(60, zeros(6))
	for range 40 {
		nested = join(nested, extension(60, zeros(22)))
	}
	nested = join(nested, extension(6, zeros(6)))
	endless := []byte(nil)
	for range 200 {
		endless = join(endless, extension(60, zeros(6)))
	}
	for _, c := range []struct {
		name  string
		first int
		chain []byte
		proto uint8
		ports bool
		cut   bool
	}{
		{"hop-by-hop", 0, extension(6, zeros(6)), 6, true, false},
		{"routing", 43, extension(6, zeros(22)), 6, true, false},
		{"destination", 60, extension(6, zeros(6)), 6, true, false},
		{"authentication", 51, join(octets("06 02 0000 00000100 00000001"), zeros(4)), 6, true, false},
		{"mobility", 135, extension(6, zeros(6)), 6, true, false},
		{"mobility alone", 135, extension(59, zeros(6)), 59, false, false},
		{"HIP", 139, extension(6, zeros(38)), 6, true, false},
		{"Shim6", 140, extension(6, zeros(6)), 6, true, false},
		{"all in order", 0, join(
			extension(60, zeros(6)), extension(43, zeros(6)), extension(44, zeros(22)), fragment(51, 0, 0, 1),
			octets("3c 01 0000 00000100 00000001"), extension(6, zeros(6)),
		), 6, true, false},
		{"atomic fragment", 44, fragment(6, 0, 0, 1), 6, true, false},
		{"ESP ends the walk", 0, join(extension(50, zeros(6)), esp), 50, false, false},
		{"forty", 60, nested, 6, true, false},
		{"without end", 60, endless, 60, false, true},
		{"longer than the packet", 60, octets("06 ff 0000 0000 0000"), 6, false, false},
		{"cut", 60, join(extension(43, zeros(6)), octets("06")), 6, false, false},
		{"cut in a Fragment header", 44, octets("06 00 0001 0000"), 44, false, true},
		{"cut before one", 60, extension(43, zeros(6)), 43, false, true},
	} {
		h := ip{version: 6, proto: c.first, chain: c.chain}
		payload := tcpSYN
		if !c.ports {
			payload = nil
		}
		d := packet.NewDecoder(packet.Config{})
		f := on(frame.Ethernet, h.inEthernet(payload))
		want := plainPacket(6)
		want.Proto, want.Bytes = c.proto, uint64(40+len(c.chain)+len(payload))
		if c.ports {
			want.SrcPort, want.DstPort, want.TCPFlags = 40000, 443, flow.SYN
		}
		p := stale()
		r := d.Decode(&p, &f)
		cut := d.Stats().Notes[packet.NoteExtensionCut] == 1
		if r != packet.OK || p != want || cut != c.cut {
			t.Errorf("%s: %v, cut %v\n got %+v\nwant %+v", c.name, r, cut, p, want)
		}
	}
}
