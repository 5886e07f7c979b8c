package capture_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/bpf"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
)

// checkSpread holds flows by worker against chance: a statistic of chi-square as large as that comes once in some
// millions of times.
func checkSpread(t *testing.T, what string, perWorker []int) {
	t.Helper()
	total := 0
	for _, n := range perWorker {
		total += n
	}
	want, chi := float64(total)/float64(len(perWorker)), 0.0
	for _, n := range perWorker {
		chi += (float64(n) - want) * (float64(n) - want) / want
	}
	free := float64(len(perWorker) - 1)
	if limit := free + 5.5*math.Sqrt(2*free) + 15; chi > limit {
		t.Errorf("%s: %v is not even: chi-square %.1f, want at most %.1f", what, perWorker, chi, limit)
	}
}

// Whatever part of the tuple varies, the flows are spread evenly, over any number of workers.
func TestSpreadIsEven(t *testing.T) {
	const flows = 4096
	makers := map[string]func(i int) []byte{
		"source ports": func(i int) []byte {
			return udp4(packet4{src: [4]byte{10, 0, 0, 1}, dst: collector4, sport: uint16(20000 + i), dport: 53}, nil)
		},
		"even source ports, TCP": func(i int) []byte {
			return udp4(packet4{proto: 6, src: [4]byte{10, 0, 0, 1}, dst: collector4, sport: uint16(2 * i), dport: 443}, nil)
		},
		"clients in a row": func(i int) []byte {
			return udp4(packet4{src: [4]byte{10, 0, byte(i >> 8), byte(i)}, dst: collector4, sport: 123, dport: 123}, nil)
		},
		"networks in a row": func(i int) []byte {
			return udp4(packet4{src: [4]byte{byte(i >> 4), byte(i << 4), 0, 1}, dst: collector4, sport: 4000, dport: 53}, nil)
		},
		"pairs of neighbours": func(i int) []byte {
			return udp4(packet4{proto: 1, src: [4]byte{192, 168, 1, byte(i)}, dst: [4]byte{192, 168, 2, byte(i >> 6)}}, nil)
		},
		"IPv6 interface ids": func(i int) []byte {
			p := packet6{src: sensor6, dst: collector6, sport: 4000, dport: 53}
			binary.BigEndian.PutUint16(p.src[14:], uint16(i))
			return udp6(p, nil)
		},
		"IPv6 prefixes": func(i int) []byte {
			p := packet6{src: sensor6, dst: collector6, sport: 4000, dport: 53}
			binary.BigEndian.PutUint16(p.src[4:], uint16(i))
			return udp6(p, nil)
		},
	}
	for seed := range uint64(8) {
		s := newSteering(t, somewhere(seed))
		for name, ip := range makers {
			numbers := map[string]int{}
			for i := range flows {
				b := ip(i)
				numbers[string(b)] = s.steer(frame.Ethernet, wrap(b))
			}
			for _, workers := range []int{2, 3, 4, 7, 8} {
				perWorker := make([]int, workers)
				for _, n := range numbers {
					perWorker[n%workers]++
				}
				checkSpread(t, fmt.Sprintf("%s, seed %d", name, seed), perWorker)
			}
		}
	}
}

// dressings put an IP packet into what a trunk may carry.
func dressings(ip []byte) map[string][]byte {
	version, ppp := []byte{0x08, 0x00}, []byte{0x00, 0x21}
	if ip[0]>>4 == 6 {
		version, ppp = []byte{0x86, 0xdd}, []byte{0x00, 0x57}
	}
	join := func(parts ...[]byte) []byte {
		return append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, slices.Concat(parts...)...)
	}
	tag := func(tpid uint16) []byte { return binary.BigEndian.AppendUint16(nil, tpid) }
	vlan, mpls := []byte{0x60, 5}, []byte{0, 1, 0x40, 64}
	bottom := []byte{0, 2, 0x41, 64}
	inner := join(version, ip)
	return map[string][]byte{
		"plain":             join(version, ip),
		"tagged":            join(tag(0x8100), vlan, version, ip),
		"QinQ":              join(tag(0x88a8), vlan, tag(0x8100), vlan, version, ip),
		"old QinQ":          join(tag(0x9100), vlan, tag(0x8100), vlan, version, ip),
		"three tags":        join(tag(0x88a8), vlan, tag(0x88a8), vlan, tag(0x8100), vlan, version, ip),
		"MPLS":              join(tag(0x8847), bottom, ip),
		"MPLS stack":        join(tag(0x8100), vlan, tag(0x8847), mpls, mpls, mpls, mpls, mpls, bottom, ip),
		"PPPoE":             join(tag(0x8864), []byte{0x11, 0, 0, 1, 0, byte(2 + len(ip))}, ppp, ip),
		"PPPoE, tagged":     join(tag(0x8100), vlan, tag(0x8100), vlan, tag(0x8864), []byte{0x11, 0, 0, 1, 0, byte(2 + len(ip))}, ppp, ip),
		"MPLS in PPPoE":     join(tag(0x8864), []byte{0x11, 0, 0, 1, 0, byte(6 + len(ip))}, []byte{0x02, 0x81}, bottom, ip),
		"SNAP":              join([]byte{0, byte(8 + len(ip)), 0xaa, 0xaa, 3, 0, 0, 0}, version, ip),
		"SNAP, tagged":      join(tag(0x8100), vlan, []byte{0, byte(8 + len(ip)), 0xaa, 0xaa, 3, 0, 0, 0}, version, ip),
		"backbone tag":      join(tag(0x88a8), vlan, tag(0x88e7), []byte{0, 0, 0, 7}, inner),
		"FabricPath":        join(tag(0x8903), []byte{0, 1}, inner),
		"TRILL":             join(tag(0x22f3), []byte{0, 1, 0, 1, 0, 2}, inner),
		"security tag":      join(tag(0x8909), []byte{1, 1, 0, 1, 0, 9}, version, ip),
		"redundancy tag":    join(tag(0x892f), []byte{0, 60, 0, 1}, version, ip),
		"IP in wrong guise": join([]byte{0x08, 0x00}, ip),
	}
}

// extended puts IPv6 extension headers in front of a UDP header.
func extended(p packet6, headers ...byte) []byte {
	b := udp6(p, nil)
	udp, next := slices.Clone(b[40:]), byte(17)
	for _, h := range slices.Backward(headers) {
		header := []byte{next, 0, 0, 0, 0, 0, 0, 7} // of a fragment header: an atomic fragment
		if h != 44 {
			header[1] = 1 // eight octets longer; of an authentication header: twelve in all
			header = append(header, make([]byte, 8)...)
		}
		if h == 51 {
			header = header[:12]
		}
		udp, next = append(header, udp...), h
	}
	b[6] = next
	binary.BigEndian.PutUint16(b[4:], uint16(len(udp)))
	return append(b[:40], udp...)
}

// The same packet meets the same worker in whatever it is wrapped, reversed, and with options or extension headers.
func TestTheFlowDecidesAlone(t *testing.T) {
	s := newSteering(t, somewhere(3))
	there4, there6 := packet4{src: sensor4, dst: collector4, sport: 40000, dport: 443, proto: 6}, packet6{src: sensor6, dst: collector6, sport: 40000, dport: 443}
	back4, back6 := there4, there6
	back4.src, back4.dst, back4.sport, back4.dport = there4.dst, there4.src, there4.dport, there4.sport
	back6.src, back6.dst, back6.sport, back6.dport = there6.dst, there6.src, there6.dport, there6.sport
	options, marked := there4, udp4(there4, nil)
	options.options = 24
	marked[1], marked[5], marked[8] = 0xb8, 77, 3 // ToS, identification and time to live
	payload := make([]byte, 40)
	for version, same := range map[int][][]byte{
		4: {udp4(there4, payload), udp4(back4, payload), udp4(options, payload), marked},
		6: {
			udp6(there6, payload), udp6(back6, payload), extended(there6, 0), extended(back6, 0, 43, 60), extended(there6, 51),
			extended(there6, 0, 51, 44, 135, 139, 140, 60), extended(back6, 44),
		},
	} {
		want := s.steer(frame.Raw, same[0])
		for i, ip := range same {
			if got := s.steer(frame.Raw, ip); got != want {
				t.Errorf("IPv%d packet %d alone: %d, want %d", version, i, got, want)
			}
			for name, data := range dressings(ip) {
				if got := s.steer(frame.Ethernet, data); got != want {
					t.Errorf("IPv%d packet %d, %s: %d, want %d", version, i, name, got, want)
				}
			}
		}
	}
	other4, other6 := there4, there6
	other4.sport, other6.sport = 40001, 40001
	if s.steer(frame.Raw, udp4(other4, nil)) == s.steer(frame.Raw, udp4(there4, nil)) || s.steer(frame.Raw, udp6(other6, nil)) == s.steer(frame.Raw, udp6(there6, nil)) {
		t.Error("the port does not matter")
	}
}

// fragments6 gives the three fragments of a datagram.
func fragments6(p packet6) [][]byte {
	var all [][]byte
	for i, field := range []uint16{1, 8 | 1, 16} { // offset in octets, and whether more follow
		b := udp6(p, make([]byte, 8))
		header := []byte{17, 0, byte(field >> 8), byte(field), 0, 0, 0, 9}
		if i > 0 {
			header[0] = 59 // what a later fragment says of the next header does not count
			binary.BigEndian.PutUint32(b[40:], uint32(i)*0x12345678)
		}
		b[6] = 44
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40+8))
		all = append(all, slices.Concat(b[:40], header, b[40:]))
	}
	return all
}

func fragments4(p packet4) [][]byte {
	var all [][]byte
	for i, field := range []uint16{0x2000, 0x2001, 2} {
		p.fragment = field
		b := udp4(p, make([]byte, 8))
		if i > 0 {
			binary.BigEndian.PutUint32(b[20:], uint32(i)*0x12345678)
		}
		all = append(all, b)
	}
	return all
}

// All fragments of a pair meet one worker, those of several datagrams and of both directions.
func TestFragmentsMeet(t *testing.T) {
	s := newSteering(t, somewhere(4))
	for i := range 200 {
		client := netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}).As4()
		there4 := packet4{src: client, dst: collector4, sport: uint16(i), dport: 53}
		back4 := packet4{src: collector4, dst: client, sport: 7000, dport: 7000}
		there6 := packet6{src: sensor6, dst: collector6, sport: uint16(i), dport: 53}
		there6.src[15] = byte(i)
		back6 := packet6{src: collector6, dst: there6.src, sport: 7, dport: 7}
		for _, train := range [][][]byte{append(fragments4(there4), fragments4(back4)...), append(fragments6(there6), fragments6(back6)...)} {
			want := s.steer(frame.Raw, train[0])
			for _, ip := range train {
				for name, data := range dressings(ip) {
					if got := s.steer(frame.Ethernet, data); got != want {
						t.Errorf("client %d: a fragment (%s) goes to %d, the first one to %d", i, name, got, want)
					}
				}
			}
		}
	}
}

// What is no IP goes by its MAC addresses, and a cut packet anywhere: the program ends in any case.
func TestOddFramesAreSteeredToo(t *testing.T) {
	s := newSteering(t, somewhere(5))
	arp := func(from byte) []byte {
		return append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, from, 8, 6, 0, 1}, make([]byte, 44)...)
	}
	perWorker := make([]int, 4)
	for i := range 256 {
		perWorker[s.steer(frame.Ethernet, arp(byte(i)))%4]++
	}
	checkSpread(t, "ARP", perWorker)
	deep := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, []byte{0x88, 0x47}...)
	deep = append(deep, make([]byte, 4*40)...) // labels without end
	same := s.steer(frame.Ethernet, append(slices.Clone(deep), 1))
	if s.steer(frame.Ethernet, append(slices.Clone(deep), 2)) != same {
		t.Error("a stack that is too deep does not go by its addresses")
	}
	for _, data := range dressings(extended(packet6{src: sensor6, dst: collector6, sport: 1, dport: 2}, 0, 51, 60)) {
		for n := range data {
			s.steer(frame.Ethernet, data[:n:n])
		}
	}
}

// Whatever comes, the program ends, and gives the same number for both directions.
func FuzzSteer(f *testing.F) {
	for _, ip := range [][]byte{
		udp4(packet4{src: sensor4, dst: collector4, sport: 40000, dport: 9999}, nil),
		extended(packet6{src: sensor6, dst: collector6, sport: 1, dport: 2}, 0, 43, 44, 51),
	} {
		for _, data := range dressings(ip) {
			f.Add(data)
		}
	}
	s := newSteering(f, somewhere(6))
	f.Fuzz(func(t *testing.T, data []byte) {
		there := s.steer(frame.Ethernet, data)
		if len(data) < macHeader || data[12] == 0x08 && data[13] == 0 {
			return
		}
		back := slices.Concat(data[6:12], data[:6], data[12:])
		if len(data) >= 14+44 && data[12] == 0x86 && data[13] == 0xdd && data[14]>>4 == 6 && data[20] == 6 {
			back = slices.Concat(data[:22], data[38:54], data[22:38], data[56:58], data[54:56], data[58:])
		}
		if s.steer(frame.Ethernet, back) != there {
			t.Errorf("%x goes elsewhere than back: %x", data, back)
		}
	})
}

func TestSteerProgramIsShort(t *testing.T) {
	const kernelLimit = 4096
	program, err := capture.SteerProgram(capture.NewMultipliers())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d instructions", len(raw))
	if len(raw) >= kernelLimit {
		t.Errorf("%d instructions", len(raw))
	}
	if a, b := capture.NewMultipliers(), capture.NewMultipliers(); a == b {
		t.Error("two taps hash alike")
	}
}
