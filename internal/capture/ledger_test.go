package capture_test

import (
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
	"flowsensor/internal/testgate"
	"flowsensor/internal/testnet"
)

// A reader that is far too slow: the kernel drops, and says how many.
func TestLedgerUnderOverload(t *testing.T) {
	eachEngine(t, testnet.Config{}, ledgerUnderOverload)
}

func ledgerUnderOverload(t rig) {
	t.cfg.Workers, t.cfg.RingSize, t.cfg.BlockSize = 2, 256<<10, 16<<10
	tap := open(t, t.link.Capture, t.cfg)
	release, out := make(chan struct{}), sender(t, t.link.Generator)
	wait := readAfter(t, tap, release)
	const frames = 20000
	for i := range uint32(frames) {
		send(t, out, numbered(t.link.Generator, t.link.Capture, i))
	}
	eventually(t, func() bool { return tap.Stats().Received == frames })
	if s := tap.Stats(); s.Dropped == 0 || s.Freezes == 0 || s.Dropped >= frames {
		t.Errorf("nothing was dropped: %+v", s.RingStats)
	}
	close(release)
	eventually(t, func() bool { s := tap.Stats(); return s.Received == s.Walked+s.Dropped })
	before := tap.Stats().Dropped
	for i := range uint32(100) { // without loss now
		send(t, out, numbered(t.link.Generator, t.link.Capture, i))
	}
	if err := tap.StopTraffic(); err != nil {
		t.Error(err)
	}
	wait()
	s := tap.Stats()
	checkLedger(t, s)
	if s.Received != frames+100 || s.Dropped != before || s.Discarded != 0 {
		t.Errorf("%+v", s.RingStats)
	}
}

// The kernel marks the blocks that it closes while drops are not yet counted. Whoever reads the count clears the mark, as
// the supervisor does each second: so this may take more than one try.
func TestLosingIsSeen(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		t.cfg.RingSize, t.cfg.BlockSize = 256<<10, 16<<10
		for range 5 {
			tap := open(t, t.link.Capture, t.cfg)
			release, out := make(chan struct{}), sender(t, t.link.Generator)
			wait := readAfter(t, tap, release)
			for i := range uint32(5000) {
				if i == 4000 {
					close(release)
				}
				send(t, out, numbered(t.link.Generator, t.link.Capture, i))
			}
			if err := tap.StopTraffic(); err != nil {
				t.Error(err)
			}
			wait()
			if tap.Stats().Losing > 0 {
				return
			}
		}
		t.Error("no block was marked")
	})
}

// readAfter walks every ring, but is stuck in the first frame until release is closed. wait waits for the end.
func readAfter(tb testing.TB, tap *capture.Tap, release <-chan struct{}) (wait func()) {
	tb.Helper()
	var readers sync.WaitGroup
	for i := range tap.Workers() {
		readers.Go(func() {
			var err error
			for err == nil {
				_, err = tap.Ring(i).Walk(func(*frame.Frame) { <-release })
			}
			if !errors.Is(err, io.EOF) {
				tb.Error(err)
			}
		})
	}
	return readers.Wait
}

// Under load in both directions of time: traffic runs while the tap is stopped.
func TestLedgerAtStopUnderLoad(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Workers = 3
		stop := stream(t, l)
		for range 3 {
			tap := open(t, l.Capture, cfg)
			r := read(tap)
			r.await(t, 3000)
			r.stop(t)
			if s := tap.Stats(); s.Discarded != 0 {
				t.Errorf("%d frames were left in the rings", s.Discarded)
			}
		}
		stop()
	})
}

func TestCloseCountsWhatItLeaves(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		tap := open(t, l.Capture, cfg)
		out := sender(t, l.Generator)
		for i := range uint32(100) {
			send(t, out, numbered(l.Generator, l.Capture, i))
		}
		eventually(t, func() bool { return tap.Stats().Received == 100 })
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
		s := tap.Stats()
		checkLedger(t, s)
		if s.Discarded != 100 || s.Capturing {
			t.Errorf("%+v", s)
		}
		if _, err := tap.Ring(0).Walk(func(*frame.Frame) {}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("walk after close: %v", err)
		}
	})
}

// Close with readers inside Walk: with gopacket alone this is a fault that no one can recover from.
func TestCloseUnderReaders(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Workers = 2
		stop := stream(t, l)
		for range 5 {
			tap := open(t, l.Capture, cfg)
			r := read(tap)
			r.await(t, 500)
			if err := tap.Close(); err != nil {
				t.Error(err)
			}
			r.wg.Wait()
			for _, err := range r.errs {
				if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
					t.Errorf("a reader ended with %v", err)
				}
			}
			checkLedger(t, tap.Stats())
		}
		stop()
	})
}

func TestWalkDoesNotAllocate(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		if n := allocations(t); n != 0 {
			t.Errorf("%v allocations a frame", n)
		}
		if n := allocations(t, 0x8100012c); n > allowedTagged(t.cfg.Engine) {
			t.Errorf("%v allocations a tagged frame", n)
		}
	})
}

// allocations gives the number of them for each frame walked: of a walk in the middle of all by that number, for what goes on
// beside the walks (the tap's supervisor, each second) is in the count of some.
func allocations(t rig, tags ...uint32) float64 {
	t.Helper()
	tap := open(t, t.link.Capture, t.cfg)
	out, ring := sender(t, t.link.Generator), tap.Ring(0)
	const frames, walks = 10000, 15
	for range frames {
		send(t, out, ether(t.link.Generator, t.link.Capture, 0x88b5, nil, tags...))
	}
	eventually(t, func() bool { return tap.Stats().Received == frames })
	sum := int64(0)
	visit := func(f *frame.Frame) { sum += f.Time + int64(f.Data[0]) }
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as testing.AllocsPerRun
	var perFrame []float64
	var before, after runtime.MemStats
	for range walks {
		runtime.ReadMemStats(&before)
		n, err := ring.Walk(visit)
		runtime.ReadMemStats(&after)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		perFrame = append(perFrame, float64(after.Mallocs-before.Mallocs)/float64(n))
	}
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	slices.Sort(perFrame)
	return perFrame[walks/2]
}

// allowedTagged: gopacket allocates twice for each frame whose tag was stripped.
func allowedTagged(e capture.Engine) float64 {
	if e == capture.EngineAFPacket {
		return 2
	}
	return 0
}

// Both engines, at the same time on the same link, see the same.
func TestEnginesAgree(t *testing.T) {
	testnet.RequireRoot(t)
	if len(engines()) < 2 {
		testgate.Skip(t, "this build has one engine: build with cgo")
	}
	l := testnet.NewLink(t, testnet.Config{MTU: 4000})
	var all [2]*readers
	for i, e := range engines() {
		cfg := capture.Config{Interface: "eth0", Engine: e, RingSize: 8 << 20, Workers: 2, SnapLength: 200}
		all[i] = read(open(t, l.Capture, cfg))
	}
	out := sender(t, l.Generator)
	const frames = 5000
	for i := range uint32(frames) {
		b := numbered(l.Generator, l.Capture, i)
		b = append(b, make([]byte, i%2000)...)
		if i%3 == 1 {
			b = append(append(append([]byte(nil), b[:12]...), 0x81, 0, byte(i>>8)&0xf, byte(i)), b[12:]...)
		}
		send(t, out, b)
	}
	type seen struct { // all but the time: the kernel stamps a packet for each socket apart
		length        uint32
		captured      int
		vlan, ifIndex int
		data          string
	}
	var sets [2]map[seen]int
	for i, r := range all {
		r.await(t, frames)
		sets[i] = map[seen]int{}
		for _, f := range r.stop(t) {
			sets[i][seen{f.Len, len(f.Data), tagOf(f.VLAN), int(f.IfIndex), string(f.Data)}]++
		}
	}
	if len(sets[0]) != frames || len(sets[1]) != frames {
		t.Errorf("%d and %d frames", len(sets[0]), len(sets[1]))
	}
	for k, n := range sets[0] {
		if sets[1][k] != n {
			t.Fatalf("one engine has %d of %+v %q, the other %d", n, k, k.data, sets[1][k])
		}
	}
}

// With blocks that are kept for a second, and two of them only, nothing is lost at an end either, also when the readers
// have long been idle.
func TestSlowBlocks(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		t.cfg.BlockTimeout, t.cfg.RingSize, t.cfg.BlockSize = time.Second, 128<<10, 64<<10
		tap := open(t, t.link.Capture, t.cfg)
		r := read(tap)
		time.Sleep(3500 * time.Millisecond)
		send(t, sender(t, t.link.Generator), numbered(t.link.Generator, t.link.Capture, 1))
		if n := len(r.stop(t)); n != 1 || tap.Stats().Discarded != 0 {
			t.Errorf("%d frames: %+v", n, tap.Stats().RingStats)
		}
	})
}
