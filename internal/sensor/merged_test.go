package sensor

import (
	"errors"
	"io"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"flowsensor/internal/capture"
	"flowsensor/internal/flow"
	"flowsensor/internal/packet"
	"flowsensor/internal/testgate"
	"flowsensor/internal/testnet"
)

// sentBy sums the records of what a host sent.
func sentBy(h *testnet.Host, records []flow.Record) (packets, bytes uint64) {
	for _, r := range records {
		if a := r.Src.Netip(r.Version); a == h.IPv4 || a == h.IPv6 {
			packets += r.Packets
			bytes += r.Bytes
		}
	}
	return packets, bytes
}

// control gives a socket's descriptor to fn.
func control(t *testing.T, conn any, fn func(fd int) error) {
	t.Helper()
	c, ok := conn.(syscall.Conn)
	if !ok {
		t.Fatalf("%T has no descriptor", conn)
	}
	raw, err := c.SyscallConn()
	var inner error
	if err == nil {
		err = raw.Control(func(fd uintptr) { inner = fn(int(fd)) })
	}
	if err := errors.Join(err, inner); err != nil {
		t.Fatal(err)
	}
}

// transfer sends octets over TCP from the generator to the capturing host, waits until they are acknowledged, and gives
// what the sender says of its segments. The connection stays open, so that nothing is sent later.
func transfer(t *testing.T, l *testnet.Link, to netip.Addr, octets int) *unix.TCPInfo {
	t.Helper()
	listener, err := l.Capture.Listen("tcp", netip.AddrPortFrom(to, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	arrived := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			_, err = io.CopyN(io.Discard, conn, int64(octets))
		}
		arrived <- err
	}()
	conn, err := l.Generator.Dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// Fewer in flight than the kernel's backlog holds (net.core.netdev_max_backlog), where nothing may get lost unseen.
	control(t, conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 256<<10) })
	_, err = conn.Write(make([]byte, octets))
	if err := errors.Join(err, <-arrived); err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	control(t, conn, func(fd int) (err error) {
		info, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err
	})
	return info
}

// requireSegments skips where the kernel does not say what it merged.
func requireSegments(t *testing.T, l *testnet.Link) {
	t.Helper()
	p := pipelineOn(t, l)
	if !p.taps[0].Stats().Segments {
		testgate.Skip(t, "the kernel does not say what it merged: Linux 6.2 or later does")
	}
}

// With every offload on, frames of up to 64 KiB reach the ring; packets and IP bytes are those that the sender put on the
// wire all the same.
func TestMergedFramesCountAsTheirSegments(t *testing.T) {
	testnet.RequireRoot(t)
	for name, offloads := range map[string]testnet.Offloads{"on": testnet.OffloadsOn, "off": testnet.OffloadsOff} {
		for version, header := range map[int]uint64{4: 20 + 32, 6: 40 + 32} { // TCP with timestamps
			l := testnet.NewLink(t, testnet.Config{Offloads: offloads})
			requireSegments(t, l)
			to := l.Capture.IPv4
			if version == 6 {
				to = l.Capture.IPv6
			}
			var info *unix.TCPInfo
			ledger, records := serve(t, l, configOn(t, l), func() { info = transfer(t, l, to, 20_000_001) })
			packets, bytes := sentBy(l.Generator, records)
			segments := uint64(info.Segs_out)
			const longerSYN = 8 // its options: 40 octets
			if want := info.Bytes_sent + segments*header + longerSYN; packets != segments || bytes != want {
				t.Errorf("IPv%d, offloads %s: %d packets and %d octets, the sender says %d and %d", version, name, packets, bytes, segments, want)
			}
			if ledger.Dropped != 0 || (ledger.Packets.GSOExtra > 0) != (offloads == testnet.OffloadsOn) || ledger.Notes[packet.NoteMergedUnresolved.String()] != 0 {
				t.Errorf("IPv%d, offloads %s: %+v", version, name, ledger)
			}
			t.Logf("IPv%d, offloads %s: %d frames read, %d packets of %d octets", version, name, ledger.Packets.Read, packets, bytes)
		}
	}
}

// The same for datagrams that the sender leaves to the card to cut (UDP_SEGMENT).
func TestMergedDatagrams(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{Offloads: testnet.OffloadsOn})
	requireSegments(t, l)
	ledger, records := serve(t, l, configOn(t, l), func() {
		for _, to := range []netip.Addr{l.Capture.IPv4, l.Capture.IPv6} {
			conn, err := l.Generator.Dial(t.Context(), "udp", netip.AddrPortFrom(to, 2000).String())
			if err != nil {
				t.Fatal(err)
			}
			control(t, conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1000) })
			if _, err := conn.Write(make([]byte, 10_500)); err != nil {
				t.Error(err)
			}
			_ = conn.Close()
		}
	})
	packets, bytes := sentBy(l.Generator, records)
	if packets != 22 || bytes != 2*10_500+11*28+11*48 || ledger.Packets.Read != 2 || ledger.Packets.GSOExtra != 20 {
		t.Errorf("%d packets of %d octets: %+v", packets, bytes, ledger)
	}
}

// mergeDatagrams has a host merge datagrams as it does TCP segments. A veth pair hands over each packet at once, so there
// would be nothing to merge: its NAPI context is told to wait a little.
func mergeDatagrams(t *testing.T, h *testnet.Host) {
	t.Helper()
	// sysfs shows the devices of the namespace that mounts it.
	const wait = "mount -t sysfs none /sys && cd /sys/class/net/eth0 && echo 1 >napi_defer_hard_irqs && echo 500000 >gro_flush_timeout"
	for _, command := range [][]string{{"ethtool", "-K", "eth0", "rx-udp-gro-forwarding", "on"}, {"unshare", "--mount", "sh", "-c", wait}} {
		if out, err := h.Command(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			testgate.Skipf(t, "%v: %v: %s (needs ethtool, util-linux and a kernel that merges datagrams)", command, err, out)
		}
	}
}

// datagrams sends so many of so many octets, to somebody who does not answer.
func datagrams(t *testing.T, l *testnet.Link, to netip.Addr, count, octets int) {
	t.Helper()
	listener, err := l.Capture.ListenPacket("udp", netip.AddrPortFrom(to, 2000).String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Generator.Dial(t.Context(), "udp", listener.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for range count {
		if _, err := conn.Write(make([]byte, octets)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(conn.Close(), listener.Close()); err != nil {
		t.Error(err)
	}
}

// Datagrams that the receiving side merges itself (rx-udp-gro-forwarding) count as what was sent.
func TestDatagramsMergedOnTheWay(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{Offloads: testnet.OffloadsOn})
	requireSegments(t, l)
	mergeDatagrams(t, l.Capture)
	const count, octets = 300, 900
	ledger, records := serve(t, l, configOn(t, l), func() {
		datagrams(t, l, l.Capture.IPv4, count, octets)
		datagrams(t, l, l.Capture.IPv6, count, octets)
	})
	packets, bytes := sentBy(l.Generator, records)
	if packets != 2*count || bytes != count*(2*octets+28+48) || ledger.Packets.GSOExtra == 0 {
		t.Errorf("%d packets of %d octets: %+v", packets, bytes, ledger)
	}
	t.Logf("%d frames read, %d packets more by what was merged", ledger.Packets.Read, ledger.Packets.GSOExtra)
}

// The other engine cannot tell: its packets are merged ones, and it warns of that.
func TestMergedFramesOfTheOtherEngine(t *testing.T) {
	testnet.RequireRoot(t)
	if !capture.EngineAFPacket.Available() {
		testgate.Skip(t, "this build has one engine: build with cgo")
	}
	l := testnet.NewLink(t, testnet.Config{Offloads: testnet.OffloadsOn})
	c := configOn(t, l)
	c.Capture.Engine = capture.EngineAFPacket
	ledger, _ := serve(t, l, c, func() { transfer(t, l, l.Capture.IPv4, 1_000_000) })
	if ledger.Packets.GSOExtra != 0 || ledger.Packets.Read == 0 {
		t.Errorf("%+v", ledger)
	}
}
