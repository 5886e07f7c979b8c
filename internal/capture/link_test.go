package capture_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/capture"
	"flowsensor/internal/testnet"
)

func TestLinkDownAndUp(t *testing.T) {
	eachEngine(t, testnet.Config{}, linkDownAndUp)
}

func linkDownAndUp(t rig) {
	t.cfg.Workers = 2
	tap := open(t, t.link.Capture, t.cfg)
	r, out := read(tap), sender(t, t.link.Generator)
	for i := range uint32(100) {
		send(t, out, numbered(t.link.Generator, t.link.Capture, i))
	}
	if err := t.link.Capture.Down(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return tap.Stats().Link == capture.LinkDown })
	r.checkCalm(t, "down")
	if err := t.link.Capture.Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return tap.Stats().Link == capture.LinkUp })
	r.checkCalm(t, "up again")
	for i := range uint32(100) {
		send(t, out, numbered(t.link.Generator, t.link.Capture, 100+i))
	}
	r.await(t, 200)
	if n := len(r.stop(t)); n != 200 {
		t.Errorf("%d frames, want 200", n)
	}
	s := tap.Stats()
	if s.Reopened != 0 || s.Down < time.Second || s.Down > 30*time.Second {
		t.Errorf("reopened %d times, down %v", s.Reopened, s.Down)
	}
	if s.LinkErrors == 0 || s.LinkErrors > 4 { // the error is read once in each ring, or else comes back for ever
		t.Errorf("%d link errors", s.LinkErrors)
	}
}

// A port whose cable is out is set up all the same, and receives nothing.
func TestNoSignalIsNotUp(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	tap := open(t, l.Capture, capture.Config{Interface: "eth0", RingSize: 1 << 20})
	up := func() bool { s := tap.Stats(); return s.Up() }
	if !up() {
		t.Errorf("%+v", tap.Stats())
	}
	if err := l.Generator.Down(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return tap.Stats().Link == capture.LinkNoCarrier })
	if up() {
		t.Error("up without a signal")
	}
	if err := l.Generator.Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, up)
}

// While an interface that was made again is not open yet, nothing is received though its link is up: here because a reader
// has not come round to closing its old socket.
func TestTimeUntilItIsOpenAgainIsDown(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	tap := open(t, l.Capture, capture.Config{Interface: "eth0", RingSize: 1 << 20})
	if err := l.Delete(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return tap.Stats().Link == capture.LinkMissing })
	if err := l.Create(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return tap.Stats().Link == capture.LinkUp })
	before := tap.Stats()
	if before.Capturing || before.Up() {
		t.Fatalf("%+v", before)
	}
	const while = 500 * time.Millisecond
	time.Sleep(while)
	if grown := tap.Stats().Down - before.Down; grown < while {
		t.Errorf("down for %v in %v without a socket", grown, while)
	}
	r := read(tap)
	eventually(t, func() bool { s := tap.Stats(); return s.Up() })
	after := tap.Stats().Down
	time.Sleep(100 * time.Millisecond)
	if now := tap.Stats().Down; now != after || now < before.Down+while {
		t.Errorf("down for %v, then %v", after, now)
	}
	r.stop(t)
}

// checkCalm looks at idle readers for a second. Two of them that wait 100 ms each time walk 20 times; one that spins walks
// a million times and takes a second of CPU.
func (r *readers) checkCalm(tb testing.TB, when string) {
	tb.Helper()
	walks, cpu := r.total(), cpuTime(tb)
	time.Sleep(time.Second)
	if n := r.total() - walks; n > 60 {
		tb.Errorf("%d walks in a second while the link is %s", n, when)
	}
	if used := cpuTime(tb) - cpu; used > 300*time.Millisecond {
		tb.Errorf("%v of CPU in a second while the link is %s", used, when)
	}
}

// total is how often the readers have walked.
func (r *readers) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := 0
	for _, n := range r.walks {
		sum += n
	}
	return sum
}

func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestInterfaceIsMadeAgain(t *testing.T) {
	requireTcpdump(t)
	eachEngine(t, testnet.Config{}, interfaceIsMadeAgain)
}

func interfaceIsMadeAgain(t rig) {
	t.cfg.Workers, t.cfg.Filter = 3, "udp"
	tap := open(t, t.link.Capture, t.cfg)
	r, number := read(tap), uint32(0)
	next := func() []byte {
		number++
		return numbered(t.link.Generator, t.link.Capture, number)
	}
	for range 3 {
		index, out := tap.Stats().IfIndex, sender(t, t.link.Generator)
		for range 300 {
			send(t, out, next())
		}
		// Deleted at once, with frames in blocks that no reader has seen yet.
		replace(t, tap, t.link)
		s := tap.Stats()
		if s.IfIndex == index {
			t.Errorf("the interface is still %d", s.IfIndex)
		}
		if n, err := t.link.Capture.Promiscuity(); err != nil || n != 1 || s.Promiscuity != 1 {
			t.Errorf("promiscuity is %d (%v), the tap says %d", n, err, s.Promiscuity)
		}
	}
	send(t, sender(t, t.link.Generator), next())
	r.await(t, int(number))
	rings := map[int]bool{}
	frames := r.stop(t)
	for _, f := range frames {
		rings[f.ring] = true
	}
	if len(frames) != int(number) || len(rings) != 3 {
		t.Errorf("%d frames of %d in rings %v", len(frames), number, rings)
	}
	if s := tap.Stats(); s.Reopened != 3 {
		t.Errorf("reopened %d times", s.Reopened)
	}
}

// replace deletes the interface, makes it again, and waits until it is captured on.
func replace(tb testing.TB, tap *capture.Tap, l *testnet.Link) {
	tb.Helper()
	if err := l.Delete(); err != nil {
		tb.Fatal(err)
	}
	eventually(tb, func() bool { return tap.Stats().Link == capture.LinkMissing })
	if err := l.Create(); err != nil {
		tb.Fatal(err)
	}
	eventually(tb, func() bool { s := tap.Stats(); return s.Capturing && s.Link == capture.LinkUp })
}

// With traffic all the time the ledger closes, though what passes while no socket is bound is not in it.
func TestLedgerUnderReplacement(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Workers = 2
		tap := open(t, l.Capture, cfg)
		r := read(tap)
		for range 3 {
			before := r.count()
			stop := stream(t, l)
			r.await(t, before+2000)
			if err := errors.Join(l.Capture.Down(), l.Capture.Up(), l.Delete()); err != nil {
				t.Fatal(err)
			}
			stop()
			if err := l.Create(); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { s := tap.Stats(); return s.Capturing && s.Link == capture.LinkUp })
		}
		r.stop(t) // checks the ledger
		if s := tap.Stats(); s.Reopened != 3 || s.Discarded != 0 {
			t.Errorf("reopened %d times, discarded %d", s.Reopened, s.Discarded)
		}
	})
}

func TestStopAndCloseWhileTheInterfaceIsGone(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		for range 2 {
			cfg.Workers = 2
			tap := open(t, l.Capture, cfg)
			r := read(tap)
			if err := l.Delete(); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return tap.Stats().Link == capture.LinkMissing })
			start := time.Now()
			r.stop(t)
			if took := time.Since(start); took > time.Second {
				t.Errorf("the readers ended after %v", took)
			}
			if err := tap.Close(); err != nil {
				t.Error(err)
			}
			if err := l.Create(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func ip(tb testing.TB, h *testnet.Host, lines ...string) {
	tb.Helper()
	cmd := h.Command(tb.Context(), "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %v: %s", lines, err, out)
	}
}

// An interface that is renamed is still the one that was asked for, until another one gets the name.
func TestInterfaceIsRenamed(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		t.cfg.Workers = 2
		tap := open(t, t.link.Capture, t.cfg)
		r, out := read(tap), sender(t, t.link.Generator)
		ip(t, t.link.Capture, "link set eth0 down", "link set eth0 name old0", "link set old0 up")
		eventually(t, func() bool { return tap.Stats().Link == capture.LinkUp })
		send(t, out, numbered(t.link.Generator, t.link.Capture, 1))
		r.await(t, 1)
		if s := tap.Stats(); s.Reopened != 0 || !s.Capturing {
			t.Errorf("%+v", s)
		}
		if c, err := tap.Counters(); err != nil || c.RxPackets == 0 {
			t.Errorf("%+v, %v", c, err)
		}
		ip(t, t.link.Capture, "link add eth0 type veth peer name gen0", "link set gen0 up", "link set eth0 up")
		eventually(t, func() bool { s := tap.Stats(); return s.Reopened == 1 && s.Capturing && s.Link == capture.LinkUp })
		send(t, out, numbered(t.link.Generator, t.link.Capture, 2)) // to the one that lost the name
		if n := len(r.stop(t)); n != 1 {
			t.Errorf("%d frames, want 1", n)
		}
	})
}

// Deleted and made again at once, with the same name and index: only the socket itself knows that it is dead.
func TestInterfaceIsMadeAgainWithTheSameIndex(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		tap := open(t, t.link.Capture, t.cfg)
		r, index := read(tap), tap.Stats().IfIndex
		ip(t, t.link.Capture, "link del eth0", fmt.Sprintf("link add eth0 index %d type veth peer name gen0", index),
			"link set gen0 up", "link set eth0 up")
		eventually(t, func() bool { s := tap.Stats(); return s.Reopened == 1 && s.Capturing && s.Link == capture.LinkUp })
		if s := tap.Stats(); s.IfIndex != index {
			t.Errorf("index %d, want %d", s.IfIndex, index)
		}
		t.link.Capture.Interface = "gen0" // what it sends, eth0 receives
		send(t, sender(t, t.link.Capture), numbered(t.link.Capture, t.link.Generator, 1))
		r.await(t, 1)
		r.stop(t)
	})
}

// The kernel's counts are 32 bits wide: they must be taken also when nobody asks for them.
func TestCountsAreTakenEachSecond(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		tap := open(t, t.link.Capture, t.cfg)
		send(t, sender(t, t.link.Generator), numbered(t.link.Generator, t.link.Capture, 1))
		eventually(t, func() bool { return tap.Ring(0).Taken() == 1 })
	})
}
