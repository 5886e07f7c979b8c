package capture_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"flowsensor/internal/capture"
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
	"flowsensor/internal/testnet"
)

// The kernel steers each frame to the worker that the program's run in a test says, of real traffic and of what was made
// up for it; and the packets of a flow meet.
func TestTheKernelSteersAsTheTestsSay(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		for _, workers := range []int{2, 3, 4} {
			steered(t, workers)
		}
	})
}

func steered(t rig, workers int) {
	t.cfg.Workers = workers
	tap := open(t, t.link.Capture, t.cfg)
	sent, r, out := steeredTraffic(t.T), read(tap), sender(t, t.link.Generator)
	for i, data := range sent {
		send(t, out, data)
		if i%500 == 499 { // no faster than it is read
			r.await(t, i+1)
		}
	}
	r.await(t, len(sent))
	frames := r.stop(t)
	if s := tap.Stats(); s.Received != uint64(len(sent)) || s.Dropped != 0 {
		t.Errorf("%d workers: %d frames sent, %+v", workers, len(sent), s.RingStats)
	}
	s := &steering{tb: t, program: tap.SteerProgram(), byProto: map[uint16]*bpf.VM{}}
	where := map[string]int{} // frames that a worker got beyond those it should have
	for _, data := range sent {
		where[fmt.Sprint(s.steer(frame.Ethernet, data)%workers, asCaptured(data))]--
	}
	decoder, m := packet.NewDecoder(packet.Config{}), newMeetings(t.T)
	for _, f := range frames {
		where[fmt.Sprint(f.ring, string(f.Data))]++
		var p flow.Packet
		if decoder.Decode(&p, &f.Frame) == packet.OK {
			m.add(&p, f.ring)
		}
	}
	m.check()
	wrong := 0
	for _, n := range where {
		wrong += max(n, 0)
	}
	if wrong > 0 {
		t.Errorf("%d workers: %d frames of %d are not where they should be", workers, wrong, len(sent))
	}
}

// asCaptured is a frame without the tag that the kernel takes out of it, cut to the snap length.
func asCaptured(data []byte) string {
	if tpid := binary.BigEndian.Uint16(data[12:]); tpid == 0x8100 || tpid == 0x88a8 {
		data = slices.Concat(data[:12], data[16:])
	}
	return string(data[:min(len(data), capture.DefaultSnapLength)])
}

// steeredTraffic is a mix of frames: many flows in both directions, fragments, whatever a trunk carries, and a part of
// real traffic where there is some.
func steeredTraffic(t *testing.T) (all [][]byte) {
	t.Helper()
	for i := range uint16(400) {
		there4 := packet4{src: [4]byte{10, 0, byte(i >> 4), byte(i)}, dst: collector4, sport: 1024 + i, dport: 443, proto: 6}
		back4 := there4
		back4.src, back4.dst, back4.sport, back4.dport = there4.dst, there4.src, there4.dport, there4.sport
		there6 := packet6{src: sensor6, dst: collector6, sport: 1024 + i, dport: 53}
		there6.src[15] = byte(i)
		back6 := there6
		back6.src, back6.dst, back6.sport, back6.dport = there6.dst, there6.src, there6.dport, there6.sport
		packets := [][]byte{udp4(there4, make([]byte, 20)), udp4(back4, make([]byte, 20)), udp6(there6, nil), udp6(back6, nil), extended(there6, 0, 60)}
		if i%8 == 0 {
			packets = slices.Concat(packets, fragments4(there4), fragments4(back4), fragments6(there6), fragments6(back6))
		}
		for _, ip := range packets {
			kinds := dressings(ip)
			all = append(all, kinds["plain"], kinds["QinQ"])
			if i%20 == 0 {
				for _, data := range kinds {
					all = append(all, data)
				}
			}
		}
	}
	return append(all, realTraffic(t)...)
}

// realTraffic is up to 200 Ethernet frames of each capture file.
func realTraffic(t *testing.T) (all [][]byte) {
	t.Helper()
	taken := map[string]int{}
	_ = walkCaptures(func(path string, f *frame.Frame) {
		if f.Link == frame.Ethernet && len(f.Data) >= 60 && len(f.Data) <= 1500 && taken[path] < 200 {
			taken[path]++
			all = append(all, slices.Clone(f.Data))
		}
	})
	return all
}

// BenchmarkFanout is what sending a frame over a veth pair costs, its way into a full ring included, by mode: the
// difference between two of them is that of their ways to choose a worker. The modes take turns, each on a link of its
// own, and the best turn of each counts, so that they are measured under the same conditions.
func BenchmarkFanout(b *testing.B) {
	modes := []capture.FanoutMode{capture.FanoutFlow, capture.FanoutHash, capture.FanoutCPU, capture.FanoutQueue}
	outs, best := make([]*testnet.Frames, len(modes)), make([]float64, len(modes))
	var frames [][]byte
	for i, mode := range modes {
		l := testnet.NewLink(b, testnet.Config{})
		quietTap(b, l.Capture, capture.Config{Interface: "eth0", Fanout: mode, Workers: 2, RingSize: 1 << 20})
		outs[i], best[i] = sender(b, l.Generator), math.Inf(1)
		for len(frames) < 512 {
			frames = append(frames, numbered(l.Generator, l.Capture, uint32(len(frames))))
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for b.Loop() {
		for i := range modes {
			start := threadTime(b)
			send(b, outs[i], frames...)
			best[i] = min(best[i], float64(threadTime(b)-start)/float64(len(frames)))
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, mode := range modes {
		b.ReportMetric(best[i], mode.String()+"-ns/frame")
	}
}

// threadTime is the processor time of this thread: on a machine shared with others the wall clock says little.
func threadTime(tb testing.TB) time.Duration {
	tb.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
