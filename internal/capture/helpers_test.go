package capture_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/capture"
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/testnet"
)

// engines are those of this build, so that every privileged test holds for each.
func engines() []capture.Engine {
	var all []capture.Engine
	for _, e := range []capture.Engine{capture.EngineAFPacket, capture.EngineRing} {
		if (capture.Config{Interface: "x", Engine: e}).Validate() == nil {
			all = append(all, e)
		}
	}
	return all
}

// rig is what a test of one engine has: a link of its own and a configuration for its capture side.
type rig struct {
	*testing.T

	link *testnet.Link
	cfg  capture.Config
}

// eachEngine runs a test with every engine and checks that nothing is left over.
func eachEngine(t *testing.T, cfg testnet.Config, test func(t rig)) {
	t.Helper()
	testnet.RequireRoot(t)
	for _, e := range engines() {
		t.Run(e.String(), func(t *testing.T) {
			link := testnet.NewLink(t, cfg)
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			checkDescriptors(t)
			test(rig{t, link, capture.Config{Interface: link.Capture.Interface, Engine: e, RingSize: 8 << 20}})
		})
	}
}

// checkDescriptors fails the test when packet sockets or rings are left at its end. It counts no other descriptors: the
// test network's own come and go.
func checkDescriptors(tb testing.TB) {
	tb.Helper()
	before := rings(tb)
	tb.Cleanup(func() {
		if after := rings(tb); after != before {
			tb.Errorf("%d rings were mapped before the test, %d are after", before, after)
		}
	})
}

// rings counts this process's mapped rings, which proc_pid_maps(5) shows as sockets.
func rings(tb testing.TB) int {
	tb.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Count(string(maps), "socket:[")
}

func openFiles(tb testing.TB) int {
	tb.Helper()
	entries, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}

// open opens a tap inside the capture host's namespace.
func open(tb testing.TB, h *testnet.Host, cfg capture.Config) *capture.Tap {
	tb.Helper()
	tap, err := tryOpen(tb, h, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := tap.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return tap
}

func tryOpen(tb testing.TB, h *testnet.Host, cfg capture.Config) (tap *capture.Tap, err error) {
	tb.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{tb}, nil))
	err = h.Do(func() (err error) {
		tap, err = capture.Open(tb.Context(), cfg, log)
		return err
	})
	return tap, err
}

type testWriter struct{ tb testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.tb.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// got is a frame that a reader saw, copied.
type got struct {
	frame.Frame
	ring int
}

// readers walk all rings of a tap, a goroutine each, until the tap is stopped.
type readers struct {
	tap *capture.Tap
	wg  sync.WaitGroup

	mu     sync.Mutex
	frames []got
	errs   []error
	walks  []int // by ring
}

func read(tap *capture.Tap) *readers {
	r := &readers{tap: tap, walks: make([]int, tap.Workers())}
	for i := range tap.Workers() {
		r.wg.Go(func() { r.walk(i) })
	}
	return r
}

func (r *readers) walk(i int) {
	ring := r.tap.Ring(i)
	for {
		_, err := ring.Walk(func(f *frame.Frame) {
			kept := got{Frame: *f, ring: i}
			kept.Data = append([]byte(nil), f.Data...)
			r.mu.Lock()
			r.frames = append(r.frames, kept)
			r.mu.Unlock()
		})
		r.mu.Lock()
		r.walks[i]++
		if err != nil {
			r.errs = append(r.errs, err)
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *readers) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.frames)
}

// await waits until n frames have been read.
func (r *readers) await(tb testing.TB, n int) {
	tb.Helper()
	eventually(tb, func() bool { return r.count() >= n })
}

// stop ends the traffic, waits for the readers to have read all, checks the ledger and gives the frames.
func (r *readers) stop(tb testing.TB) []got {
	tb.Helper()
	if err := r.tap.StopTraffic(); err != nil {
		tb.Errorf("stop: %v", err)
	}
	r.wg.Wait()
	for _, err := range r.errs {
		if !errors.Is(err, io.EOF) {
			tb.Errorf("a reader ended with %v", err)
		}
	}
	checkLedger(tb, r.tap.Stats())
	if s := r.tap.Stats(); s.Walked != uint64(len(r.frames)) {
		tb.Errorf("walked %d, but %d frames were seen", s.Walked, len(r.frames))
	}
	return r.frames
}

func checkLedger(tb testing.TB, s capture.Stats) {
	tb.Helper()
	if s.Received != s.Walked+s.Dropped+s.Discarded || s.CountErrors != 0 {
		tb.Errorf("the ledger does not close: %+v", s.RingStats)
	}
	for i, r := range s.Rings {
		if r.Received != r.Walked+r.Dropped+r.Discarded {
			tb.Errorf("the ledger of ring %d does not close: %+v", i, r)
		}
	}
}

// eventually waits for something to become true.
func eventually(tb testing.TB, ok func() bool) {
	tb.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			tb.Fatal("waited too long")
		case <-tick.C:
		}
	}
}

func sender(tb testing.TB, h *testnet.Host) *testnet.Frames {
	tb.Helper()
	f, err := h.Frames()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

func send(tb testing.TB, f *testnet.Frames, frames ...[]byte) {
	tb.Helper()
	for _, b := range frames {
		if err := f.Send(b); err != nil {
			tb.Fatal(err)
		}
	}
}

// ether is a link-layer header from host to host with tags in front of the payload's type.
func ether(from, to *testnet.Host, etherType uint16, payload []byte, tags ...uint32) []byte {
	b := append(append([]byte(nil), to.MAC...), from.MAC...)
	for _, tag := range tags {
		b = binary.BigEndian.AppendUint32(b, tag)
	}
	b = binary.BigEndian.AppendUint16(b, etherType)
	b = append(b, payload...)
	return append(b, make([]byte, max(0, 60-len(b)))...)
}

// numbered is a UDP packet over IPv4 with a number in its payload and as its source port, so that it falls on any ring.
func numbered(from, to *testnet.Host, number uint32) []byte {
	payload := binary.BigEndian.AppendUint32(nil, number)
	return ether(from, to, 0x0800, udp4(packet4{src: from.IPv4.As4(), dst: to.IPv4.As4(), sport: uint16(number), dport: 9}, payload))
}

// numberOf takes the number out of a frame that numbered made.
func numberOf(f frame.Frame) uint32 { return binary.BigEndian.Uint32(f.Data[14+20+8:]) }

type packet4 struct {
	src, dst     [4]byte
	sport, dport uint16
	options      int // octets of IP options, a multiple of 4
	fragment     uint16
	proto        byte // 0 is UDP
}

func udp4(p packet4, payload []byte) []byte {
	if p.proto == 0 {
		p.proto = 17
	}
	header := 20 + p.options
	b := make([]byte, header+8, header+8+len(payload))
	b[0] = 0x40 | byte(header/4)
	binary.BigEndian.PutUint16(b[2:], uint16(header+8+len(payload)))
	binary.BigEndian.PutUint16(b[6:], p.fragment)
	b[8], b[9] = 64, p.proto
	copy(b[12:], p.src[:])
	copy(b[16:], p.dst[:])
	for i := 20; i < header; i++ {
		b[i] = 1 // no operation
	}
	binary.BigEndian.PutUint16(b[header:], p.sport)
	binary.BigEndian.PutUint16(b[header+2:], p.dport)
	binary.BigEndian.PutUint16(b[header+4:], uint16(8+len(payload)))
	return append(b, payload...)
}

type packet6 struct {
	src, dst     [16]byte
	sport, dport uint16
}

func udp6(p packet6, payload []byte) []byte {
	b := make([]byte, 48, 48+len(payload))
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	b[6], b[7] = 17, 64
	copy(b[8:], p.src[:])
	copy(b[24:], p.dst[:])
	binary.BigEndian.PutUint16(b[40:], p.sport)
	binary.BigEndian.PutUint16(b[42:], p.dport)
	binary.BigEndian.PutUint16(b[44:], uint16(8+len(payload)))
	return append(b, payload...)
}

func tagOf(v flow.VLAN) int {
	if id, ok := v.ID(); ok {
		return int(id)
	}
	return -1
}

func timeout(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}
