package capture_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/capture"
	"flowsensor/internal/detach/detachtest"
	"flowsensor/internal/testnet"
)

// stream sends numbered frames without pause until it is stopped, and gives how many there were. It goes on where the
// interface is down or gone.
func stream(tb testing.TB, l *testnet.Link) (stop func() uint64) {
	tb.Helper()
	gone := []error{unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.ENOBUFS}
	out, end, done := sender(tb, l.Generator), make(chan struct{}), make(chan error, 1)
	go func() {
		for i := uint32(0); ; i++ {
			select {
			case <-end:
				done <- nil
				return
			default:
			}
			err := out.Send(numbered(l.Generator, l.Capture, i))
			if err != nil && !slices.ContainsFunc(gone, func(e error) bool { return errors.Is(err, e) }) {
				done <- err
				return
			}
		}
	}()
	stop = sync.OnceValue(func() uint64 {
		close(end)
		if err := <-done; err != nil {
			tb.Error(err)
		}
		return out.Sent()
	})
	tb.Cleanup(func() { stop() })
	return stop
}

// Every socket gets every packet until it has joined its group, unless it is kept from it: with four rings, that is four
// copies of the first packets.
func TestNoFrameIsDoubledAtStart(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		t.cfg.Workers = 4
		stop := stream(t, t.link)
		for range 3 {
			tap := open(t, t.link.Capture, t.cfg)
			r := read(tap)
			r.await(t, 20000)
			missing := gaps(t, r.stop(t))
			if s := tap.Stats(); uint64(missing) > s.Dropped {
				t.Errorf("%d frames are missing in the middle, and only %d were dropped", missing, s.Dropped)
			}
			if err := tap.Close(); err != nil {
				t.Error(err)
			}
		}
		stop()
	})
}

// gaps gives how many frames of a stream over four rings are missing, and fails the test where one came twice. The rings
// begin one after the other, and end so; while all of them take frames, each frame must be in one.
func gaps(tb testing.TB, frames []got) (missing int) {
	tb.Helper()
	var first, last [4]uint32
	seen := make(map[uint32]bool, len(frames))
	for _, f := range frames {
		n := numberOf(f.Frame)
		if seen[n] {
			tb.Fatalf("frame %d was read twice", n)
		}
		seen[n] = true
		first[f.ring] = cmp.Or(first[f.ring], n)
		last[f.ring] = n
	}
	for n := slices.Max(first[:]); n < slices.Min(last[:]); n++ {
		if !seen[n] {
			missing++
		}
	}
	return missing
}

func TestStopOnAnIdleLinkIsPrompt(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Workers = 3
		r := read(open(t, l.Capture, cfg))
		eventually(t, func() bool { // every reader waits for frames that do not come
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.walks[0] > 1 && r.walks[1] > 1 && r.walks[2] > 1
		})
		start := time.Now()
		r.stop(t)
		if took := time.Since(start); took > time.Second {
			t.Errorf("the readers ended after %v", took)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		missing, large, filter := cfg, cfg, cfg
		missing.Interface = "eth7"
		large.Workers, large.RingSize = 256, 2<<30
		filter.Filter = "udp port nonsense 7"
		before := openFiles(t)
		for name, c := range map[string]struct {
			cfg  capture.Config
			want []string
		}{
			"missing interface": {missing, []string{"eth7", "no such interface", "eth0, lo"}},
			"memory":            {large, []string{"524288 MiB", "a quarter of the available memory"}},
			"filter":            {filter, []string{"tcpdump", "udp port nonsense 7"}},
		} {
			_, err := tryOpen(t, l.Capture, c.cfg)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v does not say %q", name, err, want)
				}
			}
		}
		eventually(t, func() bool { return openFiles(t) <= before })
	})
}

func TestOpenOnAnInterfaceThatIsDown(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Workers, cfg.Filter = 2, "udp"
		if err := l.Capture.Down(); err != nil {
			t.Fatal(err)
		}
		tap := open(t, l.Capture, cfg)
		if s := tap.Stats(); s.Link != capture.LinkDown {
			t.Errorf("the link is %s", s.Link)
		}
		r := read(tap)
		if err := l.Capture.Up(); err != nil {
			t.Fatal(err)
		}
		send(t, sender(t, l.Generator), numbered(l.Generator, l.Capture, 1))
		r.await(t, 1)
		eventually(t, func() bool { s := tap.Stats(); return s.Link == capture.LinkUp && s.Down > 0 })
		r.stop(t)
	})
}

func TestNothingIsLeftOpen(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Workers = 2
		before := openFiles(t)
		for range 3 {
			tap := open(t, l.Capture, cfg)
			r := read(tap)
			r.stop(t)
			if err := errors.Join(tap.Close(), tap.Close()); err != nil {
				t.Error(err)
			}
		}
		eventually(t, func() bool { return openFiles(t) <= before })
	})
}

// Epoll would wake a thread of ours for every block that the kernel closes.
func TestNoPollerWatchesARing(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		t.cfg.Workers = 2
		tap := open(t, t.link.Capture, t.cfg)
		for i := range tap.Workers() {
			if detachtest.Watched(t, tap.Ring(i).FD()) {
				t.Errorf("the poller watches the socket of ring %d", i)
			}
		}
	})
}
