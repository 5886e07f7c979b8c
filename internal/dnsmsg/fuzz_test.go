package dnsmsg_test

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// FuzzSegment: whatever is in a segment, every answer is valid, and every message is counted.
func FuzzSegment(f *testing.F) {
	one := answering(www, dnsmessage.TypeA).answer(alias(www, edge, 9), address(edge, "198.51.100.1", 60)).pack(f)
	none := answering("\x00\n\\.example.", dnsmessage.TypeAAAA).authority(soa("example.")).pack(f)
	f.Add(false, uint16(0), uint16(0), udp(0, one))
	f.Add(false, uint16(0), uint16(len(one)), udp(0, one, none))
	f.Add(true, uint16(0), uint16(0), tcp(framed(one), framed(none)))
	f.Add(true, uint16(7), uint16(0), tcp([]byte(raw([4]byte{1, 1, 1, 1}, "\xc0\x0c", "\xc0\x0c"))))
	f.Fuzz(func(t *testing.T, stream bool, beyond, size uint16, data []byte) {
		p := fromServer(flow.ProtoUDP)
		if stream {
			p.Proto = flow.ProtoTCP
		}
		d := dnsmsg.NewDecoder()
		answers := uint64(0)
		d.Segment(p, frame.Segment{Data: data, Len: len(data) + int(beyond), Size: size}, func(a *flow.DNSAnswer) {
			answers++
			if err := a.Validate(); err != nil {
				t.Fatalf("%v: %+v", err, a)
			}
		})
		if n := d.Stats().Messages[dnsmsg.OK]; n != answers {
			t.Fatalf("%d answers, %d counted", answers, n)
		}
	})
}
