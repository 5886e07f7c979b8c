package capture_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/bpf"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
	"flowsensor/internal/testnet"
)

// BenchmarkWalk is the reader's own time for a frame that lies in the ring: the ring is filled first, so neither the kernel
// nor a wait is in it.
func BenchmarkWalk(b *testing.B) {
	l := testnet.NewLink(b, testnet.Config{})
	for _, e := range engines() {
		for name, tags := range map[string][]uint32{"untagged": nil, "tagged": {0x8100012c}} {
			one := ether(l.Generator, l.Capture, 0x88b5, nil, tags...)
			b.Run(fmt.Sprintf("%s/%s", e, name), func(b *testing.B) {
				tap := quietTap(b, l.Capture, capture.Config{Interface: "eth0", Engine: e, RingSize: 64 << 20})
				benchmarkWalk(b, tap.Ring(0), sender(b, l.Generator), one)
			})
		}
	}
}

func benchmarkWalk(b *testing.B, ring *capture.Ring, out *testnet.Frames, one []byte) {
	b.Helper()
	const fill = 50000
	var sum int64
	visit := func(f *frame.Frame) { sum += f.Time + int64(f.Data[0]) + int64(f.Data[12]) }
	frames, spent := 0, time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range fill {
			send(b, out, one)
		}
		time.Sleep(50 * time.Millisecond) // the last block's time
		b.StartTimer()
		start := time.Now()
		for walked := 0; walked < fill; {
			n, err := ring.Walk(visit)
			if err != nil {
				b.Fatal(err)
			}
			walked += n
		}
		frames += fill
		spent += time.Since(start)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(frames), "ns/frame")
}

func quietTap(b *testing.B, h *testnet.Host, cfg capture.Config) (tap *capture.Tap) {
	b.Helper()
	err := h.Do(func() (err error) {
		tap, err = capture.Open(b.Context(), cfg, nil)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = tap.Close() })
	return tap
}

// BenchmarkFileFilter is one frame through a compiled expression.
func BenchmarkFileFilter(b *testing.B) {
	requireTcpdump(b)
	f := frame.Frame{Data: wrap(tcp4(1024, 80)), Len: 60, Link: frame.Ethernet}
	filter, err := capture.NewFileFilter(b.Context(), "not port 22 and (ip or ip6)", frame.Ethernet)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := filter.Match(b.Context(), &f); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// BenchmarkExclusionLength says how many instructions an exclusion takes of the kernel's 4096.
func BenchmarkExclusionLength(b *testing.B) {
	exclude := []capture.Exclusion{exclusion("192.0.2.1:40000", "198.51.100.9:9999"), exclusion("[2001:db8::1]:1", "[2001:db8::2]:2")}
	var prog []bpf.RawInstruction
	for b.Loop() {
		var err error
		if prog, err = capture.BuildFilter(capture.Config{SnapLength: 256}, frame.Ethernet, exclude, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(prog)), "instructions")
}
