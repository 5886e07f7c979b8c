package capture_test

import (
	"net/netip"
	"strings"
	"testing"

	"flowsensor/internal/capture"
	"flowsensor/internal/testnet"
)

// streamed excludes what stream sends.
func streamed(l *testnet.Link) []capture.Exclusion {
	return []capture.Exclusion{{Remote: netip.AddrPortFrom(l.Capture.IPv4, 9)}}
}

// other is what no exclusion here is about.
func other(l *testnet.Link, number uint32) []byte {
	p := packet4{src: l.Generator.IPv4.As4(), dst: l.Capture.IPv4.As4(), sport: uint16(number), dport: 10}
	return ether(l.Generator, l.Capture, 0x0800, udp4(p, []byte("other")))
}

// Traffic of the excluded conversation runs all the time: from the call's return on none of it is received, and nothing
// else is lost.
func TestSetExclude(t *testing.T) {
	eachEngine(t, testnet.Config{}, setExclude)
}

func setExclude(t rig) {
	t.cfg.Workers = 3
	tap := open(t, t.link.Capture, t.cfg)
	r, stop := read(tap), stream(t, t.link)
	r.await(t, 1000)
	onlyOthers(t, tap, streamed(t.link)...)
	if err := tap.SetExclude(nil); err != nil {
		t.Error(err)
	}
	r.await(t, r.count()+1000)
	onlyOthers(t, tap, streamed(t.link)...)
	stop()
	r.stop(t)
	if err := tap.SetExclude(nil); err != nil {
		t.Error(err)
	}
	if s := tap.Stats(); s.Capturing || s.Received != s.Walked {
		t.Errorf("a stopped tap takes frames again: %+v", s)
	}
}

// onlyOthers sets the exclusions, if any, and checks that afterwards nothing but the frames of other is received.
func onlyOthers(t rig, tap *capture.Tap, exclude ...capture.Exclusion) {
	t.Helper()
	if len(exclude) > 0 {
		if err := tap.SetExclude(exclude); err != nil {
			t.Error(err)
		}
	}
	const frames = 2000
	before, out := tap.Stats().Received, sender(t, t.link.Generator)
	for i := range uint32(frames) {
		send(t, out, other(t.link, i))
	}
	eventually(t, func() bool { return tap.Stats().Received >= before+frames })
	if got := tap.Stats().Received - before; got != frames {
		t.Errorf("%d frames were received, want %d", got, frames)
	}
}

// The interface is made again under traffic, while the exclusions change: the last ones hold.
func TestSetExcludeWhileTheInterfaceIsMadeAgain(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		t.cfg.Workers = 2
		tap := open(t, t.link.Capture, t.cfg)
		r := read(tap)
		for range 3 {
			changed := make(chan error, 1)
			end := make(chan struct{})
			go func() { changed <- change(tap, t.link, end) }()
			if err := t.link.Delete(); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return tap.Stats().Link == capture.LinkMissing })
			if err := t.link.Create(); err != nil {
				t.Fatal(err)
			}
			stop := stream(t, t.link)
			eventually(t, func() bool { return tap.Stats().Capturing })
			close(end)
			if err := <-changed; err != nil {
				t.Error(err)
			}
			onlyOthers(t, tap)
			stop()
		}
		r.stop(t)
	})
}

// change sets and takes back exclusions until end is closed, and sets them at last.
func change(tap *capture.Tap, l *testnet.Link, end <-chan struct{}) error {
	for {
		if err := tap.SetExclude(nil); err != nil {
			return err
		}
		if err := tap.SetExclude(streamed(l)); err != nil {
			return err
		}
		select {
		case <-end:
			return nil
		default:
		}
	}
}

// What cannot be set leaves what was.
func TestSetExcludeRefusals(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		tap := open(t, t.link.Capture, t.cfg)
		r, stop := read(tap), stream(t, t.link)
		if err := tap.SetExclude(streamed(t.link)); err != nil {
			t.Error(err)
		}
		if err := tap.SetExclude([]capture.Exclusion{{}}); err == nil {
			t.Error("an exclusion of everything was accepted")
		}
		many := make([]capture.Exclusion, 300)
		for i := range many {
			many[i] = streamed(t.link)[0]
		}
		if err := tap.SetExclude(many); err == nil || !strings.Contains(err.Error(), "4096") {
			t.Errorf("a filter too long for the kernel: %v", err)
		}
		onlyOthers(t, tap)
		stop()
		r.stop(t)
	})
}
