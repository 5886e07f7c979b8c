package capture_test

import (
	"errors"
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
	if s := tap.Stats(); s.Reopened != 0 || s.Down < time.Second || s.Down > 30*time.Second {
		t.Errorf("reopened %d times, down %v", s.Reopened, s.Down)
	}
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
