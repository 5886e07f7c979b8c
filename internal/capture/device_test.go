package capture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
	"flowsensor/internal/testgate"
	"flowsensor/internal/testnet"
)

func TestPromiscuity(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		promiscuity := func(want int) {
			t.Helper()
			if n, err := l.Capture.Promiscuity(); err != nil || n != want {
				t.Errorf("promiscuity is %d, want %d (%v)", n, want, err)
			}
		}
		// To a stranger: a veth hands it over in any case, a card only when promiscuous.
		stranger := ether(l.Generator, l.Capture, 0x88b5, nil)
		stranger[5] ^= 0x40
		promiscuity(0)
		tap := open(t, l.Capture, cfg)
		promiscuity(1)
		if s := tap.Stats(); s.Promiscuity != 1 {
			t.Errorf("the tap says %d", s.Promiscuity)
		}
		r := read(tap)
		send(t, sender(t, l.Generator), stranger)
		r.await(t, 1)
		r.stop(t)
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
		promiscuity(0)
		cfg.Promiscuous = capture.PromiscuousOff
		tap = open(t, l.Capture, cfg)
		promiscuity(0)
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	})
}

// records keeps what was logged.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *records) count(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.text.String(), what)
}

func TestMergingIsSaid(t *testing.T) {
	if !capture.EngineAFPacket.Available() {
		testgate.Skip(t, "the ring engine says it on kernels before Linux 6.2 only: build with cgo")
	}
	l := testnet.NewLink(t, testnet.Config{Offloads: testnet.OffloadsOff})
	var log records
	var tap *capture.Tap
	err := l.Capture.Do(func() (err error) {
		cfg := capture.Config{Interface: "eth0", RingSize: 1 << 20, Engine: capture.EngineAFPacket}
		tap, err = capture.Open(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	}()
	const warning, remedy = "merges received packets", "ethtool -K eth0 gro off"
	if want := (capture.Offloads{GRO: capture.Off, LRO: capture.Off, TSO: capture.Off}); tap.Stats().Offloads != want {
		t.Errorf("%+v", tap.Stats().Offloads)
	}
	if log.count(warning) != 0 {
		t.Error("a warning without reason")
	}
	// Switched on later, it is noticed too.
	if err := l.Capture.SetOffloads(testnet.OffloadsOn); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		return tap.Stats().Offloads.Merging() && log.count(warning) == 1 && log.count(remedy) == 1
	})
	if tap.Stats().Offloads.TSO != capture.On {
		t.Errorf("%+v", tap.Stats().Offloads)
	}
	if r := (capture.Offloads{LRO: capture.On}).Remedy("eth9"); r != "ethtool -K eth9 lro off" {
		t.Error(r)
	}
}

func TestCounters(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	tap := open(t, l.Capture, capture.Config{Interface: "eth0", RingSize: 1 << 20})
	out := sender(t, l.Generator)
	for i := range uint32(50) {
		send(t, out, numbered(l.Generator, l.Capture, i))
	}
	eventually(t, func() bool { return tap.Stats().Received == 50 })
	if c, err := tap.Counters(); err != nil || c.RxPackets != 50 || c.RxMissed != 0 || c.RxErrors != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := l.Delete(); err != nil {
		t.Fatal(err)
	}
	if _, err := tap.Counters(); !errors.Is(err, capture.ErrNoInterface) {
		t.Errorf("%v", err)
	}
}

// tunnel makes a tun device in the namespace; what is written to it comes in on its interface.
func tunnel(tb testing.TB, h *testnet.Host, name string, flags uint16) func(packet []byte) {
	tb.Helper()
	fd := -1
	err := h.Do(func() (err error) { // the device will be in the namespace that this was opened in
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		return err
	})
	if errors.Is(err, unix.ENOENT) {
		testgate.Skip(tb, "this kernel has no tun devices")
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = unix.Close(fd) })
	request, err := unix.NewIfreq(name)
	if err != nil {
		tb.Fatal(err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		tb.Fatal(err)
	}
	if out, err := h.Command(tb.Context(), "ip", "link", "set", name, "up").CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return func(packet []byte) {
		if _, err := unix.Write(fd, packet); err != nil {
			tb.Error(err)
		}
	}
}

// A tun device hands over bare IP: filter and exclusion have other offsets there.
func TestRawLink(t *testing.T) {
	requireTcpdump(t)
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		write := tunnel(t, l.Capture, "tun7", 0)
		cfg.Interface, cfg.Filter, cfg.Workers = "tun7", "udp port 9999", 2
		cfg.Exclude = []capture.Exclusion{exclusion("192.0.2.1:40000", "198.51.100.9:9999"), exclusion("", "[2001:db8::1]:9999")}
		tap := open(t, l.Capture, cfg)
		if s := tap.Stats(); s.LinkType != frame.Raw || s.Promiscuity != 1 {
			t.Errorf("%+v", s)
		}
		r := read(tap)
		wanted := udp4(packet4{src: sensor4, dst: collector4, sport: 40001, dport: 9999, options: 12}, []byte("other"))
		wanted6 := udp6(packet6{src: sensor6, dst: collector6, sport: 1, dport: 9999}, nil)
		write(udp4(packet4{src: sensor4, dst: collector4, sport: 40000, dport: 9999, options: 12}, []byte("own")))
		write(udp6(packet6{src: collector6, dst: sensor6, sport: 1, dport: 9999}, nil))
		write(udp4(packet4{src: sensor4, dst: collector4, sport: 40001, dport: 9998}, nil))
		write(wanted)
		write(wanted6)
		r.await(t, 2)
		frames := r.stop(t)
		if len(frames) != 2 {
			t.Fatalf("%d frames", len(frames))
		}
		for _, f := range frames {
			if f.Link != frame.Raw || !bytes.Equal(f.Data, wanted) && !bytes.Equal(f.Data, wanted6) || int(f.Len) != len(f.Data) {
				t.Errorf("%+v", f)
			}
		}
	})
}

// A kind of merged packet for which the kernel has no virtio_net_hdr is dropped and counted, and the ledger closes.
func TestMergedPacketThatTheKernelCannotDescribe(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		write := tunnel(t, t.link.Capture, "tun7", unix.IFF_VNET_HDR)
		t.cfg.Interface = "tun7"
		tap := open(t, t.link.Capture, t.cfg)
		r, plain := read(tap), make([]byte, 10)
		fragments := make([]byte, 10) // struct virtio_net_hdr: fragments of 1000 octets, as UFO makes them
		fragments[0], fragments[1] = 1, 3
		for i, field := range []uint16{28, 1000, 20, 6} { // header, size, start and offset of the checksum
			binary.NativeEndian.PutUint16(fragments[2+2*i:], field)
		}
		packet := packet4{src: sensor4, dst: collector4, sport: 1, dport: 2}
		for range 3 {
			write(append(plain[:10:10], udp4(packet, []byte("plain"))...))
			write(append(fragments[:10:10], udp4(packet, make([]byte, 2500))...))
		}
		write(append(plain[:10:10], udp4(packet, []byte("plain"))...))
		want := uint64(7)
		eventually(t, func() bool { return tap.Stats().Received == want })
		frames, s := r.stop(t), tap.Stats()
		if s.Segments && s.Dropped != 3 || !s.Segments && s.Dropped != 0 || s.Discarded != 0 || len(frames) != 7-int(s.Dropped) {
			t.Errorf("%d frames, %+v", len(frames), s.RingStats)
		}
	})
}

// Loopback: each packet is sent and received, and counts once.
func TestLoopback(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Interface, cfg.Filter = "lo", "udp"
		r := read(open(t, l.Capture, cfg))
		conn, err := l.Capture.Dial(t.Context(), "udp", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte("one"))
		r.await(t, 1)
		frames := r.stop(t)
		if len(frames) != 1 || frames[0].Link != frame.Ethernet || !bytes.Contains(frames[0].Data, []byte("one")) {
			t.Errorf("%d frames", len(frames))
		}
	})
}
