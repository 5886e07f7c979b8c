package capture_test

import (
	"testing"

	"golang.org/x/net/bpf"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
)

// TestFullPorts runs the part of the filter that tells packets from the ports that are captured whole.
func TestFullPorts(t *testing.T) {
	from53 := packet4{src: sensor4, dst: collector4, sport: 53, dport: 40000}
	with := func(change func(*packet4)) []byte {
		p := from53
		change(&p)
		return udp4(p, []byte("answer"))
	}
	six := func(sport uint16) []byte {
		return udp6(packet6{src: sensor6, dst: collector6, sport: sport, dport: 40000}, []byte("answer"))
	}
	for name, c := range map[string]struct {
		ip   []byte
		full bool
	}{
		"UDP":               {udp4(from53, []byte("answer")), true},
		"TCP":               {with(func(p *packet4) { p.proto = 6 }), true},
		"behind IP options": {with(func(p *packet4) { p.options = 8 }), true},
		"a first fragment":  {with(func(p *packet4) { p.fragment = 0x2000 }), true},
		"a later fragment":  {with(func(p *packet4) { p.fragment = 0x2001 }), false},
		"another port":      {with(func(p *packet4) { p.sport = 443 }), false},
		"the second port":   {with(func(p *packet4) { p.sport = 5353 }), true},
		"to the port":       {with(func(p *packet4) { p.sport, p.dport = 40000, 53 }), false},
		"SCTP":              {with(func(p *packet4) { p.proto = 132 }), false},
		"cut short":         {udp4(from53, nil)[:24], false},
		"IPv6":              {six(53), true},
		"IPv6, another":     {six(54), false},
	} {
		for link, wrapped := range map[frame.LinkType][][]byte{
			frame.Ethernet: {wrap(c.ip), wrap(c.ip, 0x8100), wrap(c.ip, 0x88a8, 0x8100)}, frame.Raw: {c.ip},
		} {
			prog := append(capture.FullPortProgram(link, []uint16{53, 5353}, 2), bpf.LoadConstant{Val: 1}, bpf.RetA{}, bpf.RetConstant{Val: 2})
			vm, err := bpf.NewVM(prog)
			if err != nil {
				t.Fatal(err)
			}
			want := 1
			if c.full {
				want = 2
			}
			for tags, data := range wrapped {
				if got, err := vm.Run(data); got != want || err != nil {
					t.Errorf("%s on %s with %d tags: %d, want %d (%v)", name, link, tags, got, want, err)
				}
			}
		}
	}
}

// Both endings are the user's program, the one with the snap length, the other with everything.
func TestFilterWithFullPorts(t *testing.T) {
	user := []bpf.RawInstruction{{Op: 0x28, K: 12}, {Op: 0x15, Jt: 0, Jf: 1, K: 0x800}, {Op: 0x06, K: 262144}, {Op: 0x06, K: 0}}
	prog, err := capture.BuildFilter(capture.Config{SnapLength: 256, FullPorts: []uint16{53}}, frame.Ethernet, nil, user)
	if err != nil {
		t.Fatal(err)
	}
	tail := prog[len(prog)-8:]
	if tail[2].K != 256 || tail[3].K != 0 || tail[6].K != 262144 || tail[7].K != 0 {
		t.Errorf("the returns are %v", tail)
	}
	prog, err = capture.BuildFilter(capture.Config{SnapLength: 256, FullPorts: []uint16{53}}, frame.Ethernet, nil, nil)
	if err != nil || prog[len(prog)-2].K != 256 || prog[len(prog)-1].K != 262144 {
		t.Errorf("without a program: %v, %v", prog, err)
	}
}
