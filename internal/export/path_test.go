package export_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/testgate"
)

// inNamespace moves the test's thread into a new network namespace with the loopback up. Sockets that the test's own
// goroutine opens belong to it. The thread ends with the goroutine, and the namespace with its last socket.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread is not fit for others
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		const remedy = "needs root (CAP_SYS_ADMIN) to make a network namespace; run the tests with sudo"
		testgate.Skipf(t, "%s: %v", remedy, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err := errors.Join(err, netlink.LinkSetUp(lo)); err != nil {
		t.Fatal(err)
	}
}

// TestPathGetsNarrow lowers the path's MTU under a running sender: the datagram in hand is encoded anew, nothing is
// lost, and what follows fits.
func TestPathGetsNarrow(t *testing.T) {
	for name, c := range map[string]struct {
		listen        string
		mtu           int
		before, limit int
	}{
		"IPv4": {"127.0.0.1:0", 1300, 1472, 1300 - 28},
		"IPv6": {"[::1]:0", 1300, 1452, 1300 - 48},
	} {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			key := newKey(t)
			in := newSink(t, c.listen)
			s := run(t, config(in.addr.String(), key))
			if got := s.Stats().MaxDatagram; got != c.before {
				t.Errorf("limit %d, want %d", got, c.before)
			}
			lo, err := netlink.LinkByName("lo")
			if err := errors.Join(err, netlink.LinkSetMTU(lo, c.mtu)); err != nil {
				t.Fatal(err)
			}
			want, added := addAll(s, 2, 1000)
			stats := s.drain(t)
			checkLedger(t, stats, added)
			if stats.Sent != added || stats.TooBig == 0 || stats.MaxDatagram != c.limit {
				t.Errorf("sent %+v of %+v, %d too big, limit %d", stats.Sent, added, stats.TooBig, stats.MaxDatagram)
			}
			arrived := open(t, in.wait(t, stats.Datagrams), key)
			checkArrivals(t, arrived, c.limit)
			if diff := cmp.Diff(want, byBytes(arrived)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPathGetsNarrowForWhatIsKept: with acknowledgement, what was never sent is made anew, shorter; what was sent goes in
// fragments, because it is one batch for ever. Everything arrives once.
func TestPathGetsNarrowForWhatIsKept(t *testing.T) {
	inNamespace(t)
	key := newKey(t)
	f := newFar(t, key)
	f.set(func() { f.verdict = func(*flow.Batch) ingest.Verdict { return ingest.Full } })
	s := run(t, acknowledged(f.addr.String(), key))
	b := s.Batcher("eth0")
	b.WaitForRoom(t.Context())
	added := feed(b, 0, 2000)
	eventually(t, "refusal", func() bool { return s.Stats().Full > 0 })
	lo, err := netlink.LinkByName("lo")
	if err := errors.Join(err, netlink.LinkSetMTU(lo, 1300)); err != nil {
		t.Fatal(err)
	}
	added = added.Plus(feed(b, 10_000, 2000))
	b.Close()
	f.set(func() { f.verdict = nil })
	stats := delivered(t, s, f, added)
	if stats.TooBig == 0 || stats.MaxDatagram != 1300-28 {
		t.Errorf("%d too big, limit %d", stats.TooBig, stats.MaxDatagram)
	}
}

// TestPathMTUDiscovered has a router with a narrow link behind it: the first datagram is lost there, the ICMP message that
// comes back lowers the limit, and what follows arrives.
func TestPathMTUDiscovered(t *testing.T) {
	for name, c := range map[string]struct {
		sensor, gateway, far, collector string
		limit                           int
	}{
		"IPv4": {"192.0.2.1/24", "192.0.2.254", "198.51.100.254/24", "198.51.100.1", 1300 - 28},
		"IPv6": {"2001:db8:1::1/64", "2001:db8:1::ff", "2001:db8:2::ff/64", "2001:db8:2::1", 1300 - 48},
	} {
		t.Run(name, func(t *testing.T) {
			bits := c.far[strings.IndexByte(c.far, '/'):]
			router := newNamespace(t)
			forward(t)
			newNamespace(t)
			cable(t, router, 1300, c.collector+bits, c.far)
			defaultRoute(t, strings.TrimSuffix(c.far, bits))
			in := newSink(t, net.JoinHostPort(c.collector, "0"))
			newNamespace(t)
			cable(t, router, 1500, c.sensor, c.gateway+bits)
			defaultRoute(t, c.gateway)
			discoverPath(t, in, c.limit)
		})
	}
}

// forward makes the current namespace a router.
func forward(t *testing.T) {
	t.Helper()
	sysctl(t, "ipv4/ip_forward", "1")
	sysctl(t, "ipv6/conf/all/forwarding", "1")
}

func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// discoverPath sends until the path has told its limit, and then a thousand records that must all arrive.
func discoverPath(t *testing.T, in *sink, limit int) {
	t.Helper()
	key := newKey(t)
	s := run(t, config(in.addr.String(), key))
	var n uint64
	for s.Stats().TooBig == 0 && n < 10_000 {
		_, added := addAll(s, 1, 100)
		n += added.Records
		eventually(t, "send", func() bool { return s.Stats().Sent.Records == n })
	}
	addAll(s, 1, 1000)
	stats := s.drain(t)
	if stats.MaxDatagram != limit || stats.Sent != stats.Added {
		t.Errorf("limit %d, sent %+v of %+v", stats.MaxDatagram, stats.Sent, stats.Added)
	}
	eventually(t, "arrival of all", func() bool { return len(byBytes(open(t, in.received(), key))) == 1000 })
}

// newNamespace moves the thread on into another namespace and gives a file that stands for it.
func newNamespace(t *testing.T) *os.File {
	t.Helper()
	inNamespace(t)
	// Without it no neighbour is found in the first second, before the link-local address is free of doubt.
	sysctl(t, "ipv6/conf/all/accept_dad", "0")
	sysctl(t, "ipv6/conf/default/accept_dad", "0")
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// cable lays a cable of that MTU between the current namespace, with the address here, and the router's, with there.
func cable(t *testing.T, router *os.File, mtu int, here, there string) {
	t.Helper()
	name := "to-" + strconv.Itoa(mtu)
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "up0", MTU: mtu, TxQLen: 1000}, PeerName: name,
		PeerNamespace: netlink.NsFd(int(router.Fd())), PeerMTU: uint32(mtu),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	address(t, &netlink.Handle{}, "up0", here)
	handle, err := netlink.NewHandleAt(netns.NsHandle(router.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	address(t, handle, name, there)
}

func address(t *testing.T, handle *netlink.Handle, device, text string) {
	t.Helper()
	link, err := handle.LinkByName(device)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	addr.Flags = unix.IFA_F_NODAD // else it cannot be bound at once
	if err := errors.Join(handle.AddrAdd(link, addr), handle.LinkSetUp(link)); err != nil {
		t.Fatal(err)
	}
}

func defaultRoute(t *testing.T, gateway string) {
	t.Helper()
	if err := netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(gateway)}); err != nil {
		t.Fatal(err)
	}
}

// TestPathTooNarrow: a path that takes no record at all costs the records, counted under that reason.
func TestPathTooNarrow(t *testing.T) {
	inNamespace(t)
	in := newSink(t, "127.0.0.1:0")
	lo, err := netlink.LinkByName("lo")
	if err := errors.Join(err, netlink.LinkSetMTU(lo, 400)); err != nil {
		t.Fatal(err)
	}
	s := run(t, config(in.addr.String(), newKey(t)))
	_, added := addAll(s, 1, 300)
	stats := s.drain(t)
	checkLedger(t, stats, added)
	if got := stats.Dropped[export.MessageSize].Records; got < 290 || stats.LastError == "" {
		t.Errorf("%d records dropped as too long, error %q", got, stats.LastError)
	}
}

// TestPathGetsWide: the limit rises again with the path, up to the configured one.
func TestPathGetsWide(t *testing.T) {
	inNamespace(t)
	lo, err := netlink.LinkByName("lo")
	if err := errors.Join(err, netlink.LinkSetMTU(lo, 1300)); err != nil {
		t.Fatal(err)
	}
	s := newSender(t, config("127.0.0.1:9", newKey(t)))
	if got := s.Stats().MaxDatagram; got != 1272 {
		t.Errorf("limit %d, want 1272", got)
	}
	if err := netlink.LinkSetMTU(lo, 9000); err != nil {
		t.Fatal(err)
	}
	s.Check(time.Now())
	if got := s.Stats().MaxDatagram; got != 1272 {
		t.Errorf("limit %d already", got)
	}
	s.Check(time.Now().Add(2 * time.Minute))
	if got := s.Stats().MaxDatagram; got != export.DefaultMaxDatagram {
		t.Errorf("limit %d, want %d", got, export.DefaultMaxDatagram)
	}
}

// slowPath routes 192.0.2.0/24 through slow0, a device that queues limit octets and sends 1 Mbit/s.
func slowPath(t *testing.T, limit uint32) {
	t.Helper()
	device := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "slow0", TxQLen: 1000}, PeerName: "slow1"}
	if err := netlink.LinkAdd(device); err != nil {
		t.Fatal(err)
	}
	peer, err := netlink.LinkByName("slow1")
	if err != nil {
		t.Fatal(err)
	}
	const rate = 125_000 // octets a second
	index := device.Attrs().Index
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(24, 32)}}
	neighbour := &netlink.Neigh{
		LinkIndex: index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: net.IPv4(192, 0, 2, 2),
		HardwareAddr: peer.Attrs().HardwareAddr,
	}
	tbf := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate, Limit: limit, Buffer: netlink.Xmittime(rate, 3000),
	}
	err = errors.Join(netlink.LinkSetUp(device), netlink.LinkSetUp(peer), netlink.AddrAdd(device, addr),
		netlink.NeighAdd(neighbour), netlink.QdiscAdd(tbf))
	if err != nil {
		t.Fatal(err)
	}
}

// TestCongestion: a full device queue (ENOBUFS) and a full send buffer (EAGAIN) slow the sender down, and lose nothing
// as long as it drains.
func TestCongestion(t *testing.T) {
	for name, c := range map[string]struct {
		limit      uint32
		sendBuffer int
	}{
		"queue full":       {3000, 4 << 20},
		"send buffer full": {1 << 20, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			slowPath(t, c.limit)
			cfg := config("192.0.2.2:9999", newKey(t))
			cfg.SendBuffer = c.sendBuffer
			s := run(t, cfg)
			_, added := addAll(s, 1, 1500)
			stats := s.drain(t)
			checkLedger(t, stats, added)
			if stats.Sent != added || stats.Congested == 0 {
				t.Errorf("sent %+v of %+v, congested %d times, last error %q", stats.Sent, added, stats.Congested, stats.LastError)
			}
		})
	}
}

// TestRouteGone: what cannot be sent is counted lost once the bound has passed, and the sender recovers.
func TestRouteGone(t *testing.T) {
	inNamespace(t)
	slowPath(t, 1<<20)
	s := run(t, config("192.0.2.2:9999", newKey(t)))
	link, err := netlink.LinkByName("slow0")
	if err := errors.Join(err, netlink.LinkSetDown(link)); err != nil {
		t.Fatal(err)
	}
	addOne(s.Sender, 1)
	eventually(t, "loss", func() bool { return s.Stats().Dropped[export.SendError].Records == 1 })
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	addOne(s.Sender, 2)
	stats := s.drain(t)
	if stats.Sent.Records != 1 || stats.SendErrors == 0 {
		t.Errorf("%+v", stats)
	}
	checkLedger(t, stats, amounts(record(1), record(2)))
}

func amounts(records ...flow.Record) export.Amount {
	var sum export.Amount
	for _, r := range records {
		sum = sum.Plus(export.Amount{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
	}
	return sum
}
