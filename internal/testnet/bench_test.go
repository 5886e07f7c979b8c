package testnet_test

import (
	"testing"

	"flowsensor/internal/testnet"
)

// BenchmarkMirror sends minimum frames through the switch. lost/frame is what did not reach the mirror: a bound on the
// rate at which tests may send and still expect every frame.
func BenchmarkMirror(b *testing.B) {
	n := testnet.New(b, testnet.Config{})
	out, err := n.A.Frames()
	if err != nil {
		b.Fatal(err)
	}
	f := frame(n.A, n.B, 1)
	for b.Loop() {
		if err := out.Send(f); err != nil {
			b.Fatal(err)
		}
	}
	c, err := n.C.Counters()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(out.Sent()-c.RxPackets)/float64(out.Sent()), "lost/frame")
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
}
