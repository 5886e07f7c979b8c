package capture_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
)

func exclusion(local, remote string) capture.Exclusion {
	e := capture.Exclusion{Remote: netip.MustParseAddrPort(remote)}
	if local != "" {
		e.Local = netip.MustParseAddrPort(local)
	}
	return e
}

// verdict runs the part of the filter that golang.org/x/net/bpf's machine can: all but the look at the direction, which a
// test on a real link covers.
func verdict(tb testing.TB, link frame.LinkType, exclude []capture.Exclusion) func(data []byte) bool {
	tb.Helper()
	vm, err := bpf.NewVM(append(capture.ExcludeProgram(link, exclude), bpf.RetConstant{Val: 1}))
	if err != nil {
		tb.Fatal(err)
	}
	return func(data []byte) bool {
		n, err := vm.Run(data)
		if err != nil {
			tb.Fatal(err)
		}
		return n == 1
	}
}

var (
	sensor4    = [4]byte{192, 0, 2, 1}
	collector4 = [4]byte{198, 51, 100, 9}
	sensor6    = netip.MustParseAddr("2001:db8::1").As16()
	collector6 = netip.MustParseAddr("2001:db8:ffff:0:1:2:3:4").As16()
)

// wrap puts an Ethernet header in front of an IP packet.
func wrap(ip []byte, tags ...uint16) []byte {
	b := make([]byte, 12)
	for _, tpid := range tags {
		b = binary.BigEndian.AppendUint16(b, tpid)
		b = append(b, 0, 5)
	}
	etherType := uint16(0x0800)
	if ip[0]>>4 == 6 {
		etherType = 0x86dd
	}
	return append(binary.BigEndian.AppendUint16(b, etherType), ip...)
}

func TestOwnTrafficIsExcluded(t *testing.T) {
	exclude := []capture.Exclusion{
		exclusion("192.0.2.1:40000", "198.51.100.9:9999"),
		exclusion("[2001:db8::1]:40000", "[2001:db8:ffff:0:1:2:3:4]:9999"),
		exclusion("0.0.0.0:0", "198.51.100.10:7777"),
		exclusion("", "[::ffff:198.51.100.11]:7777"),
	}
	out4 := packet4{src: sensor4, dst: collector4, sport: 40000, dport: 9999}
	in4 := packet4{src: collector4, dst: sensor4, sport: 9999, dport: 40000}
	with := func(p packet4, change func(*packet4)) packet4 {
		change(&p)
		return p
	}
	payload := []byte("edge-1 gAAAAA")
	for name, c := range map[string]struct {
		ip   []byte
		want bool // captured
	}{
		"out":                 {udp4(out4, payload), false},
		"in":                  {udp4(in4, payload), false},
		"no payload":          {udp4(out4, nil), false},
		"options":             {udp4(with(out4, func(p *packet4) { p.options = 40 }), payload), false},
		"options, in":         {udp4(with(in4, func(p *packet4) { p.options = 4 }), nil), false},
		"first fragment":      {udp4(with(out4, func(p *packet4) { p.fragment = 0x2000 }), payload), false},
		"don't fragment":      {udp4(with(out4, func(p *packet4) { p.fragment = 0x4000 }), payload), false},
		"later fragment":      {udp4(with(out4, func(p *packet4) { p.fragment = 0x2001 }), payload), true},
		"other source port":   {udp4(with(out4, func(p *packet4) { p.sport++ }), payload), true},
		"other port":          {udp4(with(out4, func(p *packet4) { p.dport++ }), payload), true},
		"other source":        {udp4(with(out4, func(p *packet4) { p.src[3]++ }), payload), true},
		"other destination":   {udp4(with(out4, func(p *packet4) { p.dst[0]++ }), payload), true},
		"ports the wrong way": {udp4(with(out4, func(p *packet4) { p.sport, p.dport = p.dport, p.sport }), payload), true},
		"TCP":                 {udp4(with(out4, func(p *packet4) { p.proto = 6 }), payload), true},
		"any local, out":      {udp4(packet4{src: [4]byte{9, 9, 9, 9}, dst: [4]byte{198, 51, 100, 10}, sport: 1, dport: 7777}, nil), false},
		"any local, in":       {udp4(packet4{src: [4]byte{198, 51, 100, 10}, dst: [4]byte{9, 9, 9, 9}, sport: 7777, dport: 1}, nil), false},
		"any local, other":    {udp4(packet4{src: [4]byte{198, 51, 100, 10}, dst: [4]byte{9, 9, 9, 9}, sport: 7778, dport: 1}, nil), true},
		"mapped":              {udp4(packet4{src: [4]byte{9, 9, 9, 9}, dst: [4]byte{198, 51, 100, 11}, sport: 1, dport: 7777}, nil), false},
		"IPv6 out":            {udp6(packet6{src: sensor6, dst: collector6, sport: 40000, dport: 9999}, payload), false},
		"IPv6 in":             {udp6(packet6{src: collector6, dst: sensor6, sport: 9999, dport: 40000}, nil), false},
		"IPv6 other":          {udp6(packet6{src: collector6, dst: sensor6, sport: 9999, dport: 40001}, nil), true},
		"IPv6 other address":  {udp6(packet6{src: collector6, dst: collector6, sport: 9999, dport: 40000}, nil), true},
	} {
		for link, frames := range map[frame.LinkType][][]byte{
			frame.Ethernet: {wrap(c.ip), wrap(c.ip, 0x8100), wrap(c.ip, 0x88a8, 0x8100), wrap(c.ip, 0x9100)},
			frame.Raw:      {c.ip},
		} {
			captured := verdict(t, link, exclude)
			for _, f := range frames {
				if captured(f) != c.want {
					t.Errorf("%s, %s: captured is %v for %x", name, link, !c.want, f)
				}
			}
		}
	}
}

// A load behind a packet's end makes the kernel drop the packet without a count: no cut or odd packet may meet one.
func TestNoPacketIsLostInTheExclusion(t *testing.T) {
	exclude := []capture.Exclusion{exclusion("192.0.2.1:40000", "198.51.100.9:9999"), exclusion("", "[2001:db8::1]:9999")}
	for link, whole := range map[frame.LinkType][][]byte{
		frame.Ethernet: {
			wrap(udp4(packet4{src: sensor4, dst: collector4, sport: 40000, dport: 9999}, nil)),
			wrap(udp4(packet4{src: sensor4, dst: collector4, sport: 40000, dport: 9999, options: 40}, nil), 0x8100, 0x8100),
			wrap(udp6(packet6{src: sensor6, dst: collector6, sport: 9999, dport: 1}, nil), 0x8100),
		},
		frame.Raw: {
			udp4(packet4{src: sensor4, dst: collector4, sport: 40000, dport: 9999, options: 40}, nil),
			udp6(packet6{src: sensor6, dst: collector6, sport: 9999, dport: 1}, nil),
		},
	} {
		captured := verdict(t, link, exclude)
		for _, f := range whole {
			for n := 1; n < len(f); n++ {
				if !captured(f[:n]) {
					t.Errorf("%s: %d octets of %x are dropped", link, n, f)
				}
			}
			if captured(f) {
				t.Errorf("%s: %x is captured", link, f)
			}
		}
	}
}

func FuzzExclusion(f *testing.F) {
	f.Add(wrap(udp4(packet4{src: sensor4, dst: collector4, sport: 40000, dport: 9999}, nil)))
	f.Add(wrap(udp4(packet4{src: collector4, dst: sensor4, sport: 9999, dport: 40000, options: 8}, nil), 0x8100))
	f.Add(wrap(udp6(packet6{src: sensor6, dst: collector6, sport: 40000, dport: 9999}, nil), 0x88a8, 0x8100))
	exclude := []capture.Exclusion{
		exclusion("192.0.2.1:40000", "198.51.100.9:9999"), exclusion("[2001:db8::1]:40000", "[2001:db8:ffff:0:1:2:3:4]:9999"),
	}
	ethernet, raw := verdict(f, frame.Ethernet, exclude), verdict(f, frame.Raw, exclude)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		if got := raw(data); got == ownPacket(data, data[0]>>4) {
			t.Errorf("raw: captured is %v for %x", got, data)
		}
		own := false
		for base, tags := 14, 0; base <= len(data) && tags <= 2; base, tags = base+4, tags+1 {
			etherType := binary.BigEndian.Uint16(data[base-2:])
			switch etherType {
			case 0x0800:
				own = ownPacket(data[base:], 4)
			case 0x86dd:
				own = ownPacket(data[base:], 6)
			case 0x8100, 0x88a8, 0x9100:
				continue
			}
			break
		}
		if got := ethernet(data); got == own {
			t.Errorf("Ethernet: captured is %v for %x", got, data)
		}
	})
}

// ownPacket says the same as the two exclusions of FuzzExclusion, written another way.
func ownPacket(b []byte, version byte) bool {
	var from, to, ports []byte
	switch {
	case version == 4 && len(b) >= 28:
		header := int(b[0]&0xf) * 4
		if b[9] != 17 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 || len(b) < header+8 {
			return false
		}
		from, to, ports = b[12:16], b[16:20], b[header:header+4]
	case version == 6 && len(b) >= 48:
		if b[6] != 17 {
			return false
		}
		from, to, ports = b[8:24], b[24:40], b[40:44]
	default:
		return false
	}
	sensor, collector := sensor4[:], collector4[:]
	if version == 6 {
		sensor, collector = sensor6[:], collector6[:]
	}
	out := bytes.Equal(from, sensor) && bytes.Equal(to, collector) && bytes.Equal(ports, []byte{0x9c, 0x40, 0x27, 0x0f})
	in := bytes.Equal(from, collector) && bytes.Equal(to, sensor) && bytes.Equal(ports, []byte{0x27, 0x0f, 0x9c, 0x40})
	return out || in
}

func TestFilterEndsWithTheUsersProgram(t *testing.T) {
	user := []bpf.RawInstruction{
		{Op: 0x28, K: 12}, {Op: 0x15, Jt: 0, Jf: 1, K: 0x800}, {Op: 0x06, K: 262144}, {Op: 0x06, K: 0},
	}
	prog, err := capture.BuildFilter(256, frame.Ethernet, nil, user)
	if err != nil {
		t.Fatal(err)
	}
	tail := prog[len(prog)-4:]
	if tail[2].K != 256 || tail[3].K != 0 {
		t.Errorf("the returns are %v", tail[2:])
	}
	if user[2].K != 262144 {
		t.Error("the user's program was changed in place")
	}
	if prog, err = capture.BuildFilter(256, frame.Ethernet, nil, nil); err != nil || prog[len(prog)-1].K != 256 {
		t.Errorf("without a program: %v, %v", prog, err)
	}
	for name, bad := range map[string][]bpf.RawInstruction{
		"returns A": {{Op: 0x16}},
		"too long":  append(make([]bpf.RawInstruction, 4095), bpf.RawInstruction{Op: 0x06}),
	} {
		if _, err := capture.BuildFilter(256, frame.Ethernet, nil, bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Many exclusions make a program whose chains no conditional jump could cross.
func TestManyExclusions(t *testing.T) {
	var exclude []capture.Exclusion
	for i := range 20 {
		local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)
		exclude = append(exclude, capture.Exclusion{Local: local, Remote: netip.MustParseAddrPort("198.51.100.9:9999")})
	}
	captured := verdict(t, frame.Ethernet, exclude)
	for i := range 21 {
		f := wrap(udp4(packet4{src: [4]byte{10, 0, 0, byte(i)}, dst: collector4, sport: 1, dport: 9999}, nil))
		if captured(f) != (i == 20) {
			t.Errorf("sensor %d", i)
		}
	}
	if _, err := capture.BuildFilter(256, frame.Ethernet, exclude, nil); err != nil {
		t.Error(err)
	}
	for len(exclude) < 200 {
		exclude = append(exclude, exclude[0])
	}
	if _, err := capture.BuildFilter(256, frame.Ethernet, exclude, nil); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("a program longer than the kernel allows: %v", err)
	}
}
