package packet_test

import (
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// TestDecodeAllocatesNothing goes over every kind of frame that the tables know: accounted, noted and refused.
func TestDecodeAllocatesNothing(t *testing.T) {
	var frames []frame.Frame
	for _, c := range benchFrames() {
		frames = append(frames, on(frame.Ethernet, c.data))
	}
	for _, v := range versions {
		h := ip{version: v, proto: 6}
		for _, row := range linkRows() {
			f := on(row.link, row.build(h, h.wrap(tcpSYN)))
			f.VLAN = vlan(9)
			frames = append(frames, f, on(row.link, f.Data[:len(f.Data)-25]))
		}
		for id := range 64 {
			frames = append(frames, fragmentFrame(v, 17, id, 0, false, udp), fragmentFrame(v, 17, id^1, 4, true, udp))
		}
	}
	d := packet.NewDecoder(packet.Config{MaxFragments: 16, VLANInKey: true})
	var p flow.Packet
	if n := testing.AllocsPerRun(20, func() {
		for i := range frames {
			d.Decode(&p, &frames[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d frames", n, len(frames))
	}
}
