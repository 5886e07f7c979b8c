package export_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/export"
)

// names is a resolver whose answer a test changes.
type names struct {
	mu    sync.Mutex
	addrs []netip.Addr // protected by mu
	err   error        // protected by mu
	asked int          // protected by mu
}

func (n *names) resolve(context.Context, string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	return n.addrs, n.err
}

func (n *names) set(err error, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs, n.err = addrs, err
}

func (n *names) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// addOne sends one record through a Batcher of its own.
func addOne(s *export.Sender, i int) {
	b := s.Batcher("eth0")
	r := record(i)
	b.Add(&r)
	b.Close()
}

// TestNameMoves: when the name stands for another address, also of the other family, the sender follows, tells both
// ends before the first datagram leaves there, and loses nothing.
func TestNameMoves(t *testing.T) {
	key := newKey(t)
	v4 := newSink(t, "127.0.0.1:0")
	v6 := newSink(t, netip.AddrPortFrom(netip.IPv6Loopback(), v4.addr.Port()).String())
	var n names
	n.set(nil, v4.addr.Addr())
	moves := make(chan [2]export.Endpoints, 1)
	held := make(chan struct{})
	cfg := config("collector.example:"+v4.portText(), key)
	cfg.Resolve, cfg.ResolveInterval = n.resolve, time.Second
	cfg.Moved = func(from, to export.Endpoints) {
		moves <- [2]export.Endpoints{from, to}
		<-held
	}
	s := run(t, cfg)
	first := export.Endpoints{Local: s.LocalAddr(), Remote: s.RemoteAddr()}
	if first.Remote != v4.addr {
		t.Fatalf("remote %v, want %v", first.Remote, v4.addr)
	}
	addOne(s.Sender, 1)
	v4.wait(t, 1)

	n.set(nil, v6.addr.Addr(), v6.addr.Addr())
	move := <-moves
	if move[0] != first || move[1].Remote != v6.addr || move[1].Local.Addr() != v6.addr.Addr() || move[1].Local.Port() == 0 {
		t.Errorf("told of %v", move)
	}
	addOne(s.Sender, 2) // the callback still holds: on the old ends
	v4.wait(t, 2)
	close(held)
	eventually(t, "move", func() bool { return s.RemoteAddr() == v6.addr })
	if s.LocalAddr() != move[1].Local {
		t.Errorf("local %v, told of %v", s.LocalAddr(), move[1].Local)
	}
	addOne(s.Sender, 3)
	v6.wait(t, 1)
	stats := s.drain(t)
	if stats.Moves != 1 || stats.MaxDatagram != 1452 {
		t.Errorf("%d moves, limit %d", stats.Moves, stats.MaxDatagram)
	}
	arrived := open(t, append(v4.received(), v6.received()...), key)
	checkArrivals(t, arrived, 1472)
}

func (s *sink) portText() string { return portText(s.addr) }

func portText(addr netip.AddrPort) string { return strconv.Itoa(int(addr.Port())) }

// TestBeginsWithoutCollector: where the network is not up at the start, what is made is kept until it is, and all of it arrives.
func TestBeginsWithoutCollector(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	var n names
	n.set(errors.New("server misbehaving"))
	cfg := spooling("collector.example:"+portText(f.addr), key, t.TempDir())
	cfg.Absent, cfg.Resolve, cfg.ResolveInterval = export.LookOn, n.resolve, time.Second
	var log syncBuffer
	s := runLogged(t, cfg, &log)
	if s.RemoteAddr().IsValid() || s.LocalAddr().IsValid() {
		t.Errorf("it says that it sends from %v to %v", s.LocalAddr(), s.RemoteAddr())
	}
	b := s.Batcher("eth0")
	added := feed(b, 0, 3000)
	b.Close()
	eventually(t, "spool", func() bool { return s.Stats().SpoolBatches > 0 })
	if stats := s.Stats(); !stats.Held || stats.Datagrams != 0 || stats.Pending != added {
		t.Errorf("%+v", stats)
	}
	n.set(nil, f.addr.Addr())
	stats := delivered(t, s, f, added)
	if stats.Remote != f.addr || stats.Sent != added || stats.DroppedTotal() != (export.Amount{}) {
		t.Errorf("%+v", stats)
	}
	if lines := strings.Count(log.String(), "level=WARN"); lines != 1 {
		t.Errorf("%d warnings:\n%s", lines, log.String())
	}
}

// What was made by then is in the spool when the sensor ends, at once, and the next life sends it.
func TestEndWithoutACollector(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	var n names
	n.set(errors.New("no such host"))
	cfg := spooling("collector.example:1", key, t.TempDir())
	cfg.Resolve, cfg.Absent = n.resolve, export.LookOn
	s := run(t, cfg)
	b := s.Batcher("eth0")
	added := feed(b, 0, 500)
	b.Close()
	start := time.Now()
	s.drain(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the end took %s", took)
	}
	cfg.Collector = f.addr.String()
	run(t, cfg)
	eventuallyIn(t, 10*time.Second, "delivery from the spool", func() bool { return f.has() == added })
}

// TestOnceWithoutCollector: what is not kept needs a collector from the start, and so does a command.
func TestOnceWithoutCollector(t *testing.T) {
	cfg := config("nowhere.invalid:9999", newKey(t))
	cfg.Absent, cfg.Delivery = export.LookOn, export.FireAndForget
	cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }
	if _, err := export.NewSender(cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an unknown host was taken")
	}
}

// TestNameFails: a look-up that fails or finds nothing keeps the address, and is said once.
func TestNameFails(t *testing.T) {
	in := newSink(t, "127.0.0.1:0")
	var n names
	n.set(nil, in.addr.Addr())
	var log syncBuffer
	cfg := config("collector.example:"+in.portText(), newKey(t))
	cfg.Resolve, cfg.ResolveInterval = n.resolve, time.Second
	s := runLogged(t, cfg, &log)
	n.set(errors.New("server misbehaving"))
	s.Kick()
	eventually(t, "failure", func() bool { return s.Stats().ResolveFails == 1 })
	n.set(nil) // no error, no address
	s.Kick()
	eventually(t, "failure", func() bool { return s.Stats().ResolveFails >= 2 })
	addOne(s.Sender, 1)
	in.wait(t, 1)
	n.set(nil, in.addr.Addr())
	s.Kick()
	eventually(t, "look-up", func() bool { return strings.Contains(log.String(), "resolved again") })
	if got := strings.Count(log.String(), "name not resolved"); got != 1 {
		t.Errorf("said %d times", got)
	}
	if s.Stats().Moves != 0 {
		t.Error("the socket was replaced for nothing")
	}
}

// syncBuffer is a log that a test reads while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // protected by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestTroubleTriesTheNextAddress: lasting trouble goes through the name's addresses in turn; a literal address is
// tried anew, but its socket stays while our own address does.
func TestTroubleTriesTheNextAddress(t *testing.T) {
	var n names
	a, b := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	n.set(nil, a, b)
	cfg := config("collector.example:9", newKey(t))
	cfg.Resolve = n.resolve
	s := run(t, cfg)
	for _, want := range []netip.Addr{b, a, b} {
		s.Kick()
		eventually(t, "next address", func() bool { return s.RemoteAddr().Addr() == want })
	}
	n.set(nil, b)
	asked := n.count()
	s.Kick()
	eventually(t, "look-up", func() bool { return n.count() > asked })
	s.Kick() // taken when the resolver is through with the other
	if got := s.drain(t); got.Moves != 3 || got.Remote.Addr() != b {
		t.Errorf("%d moves, remote %v", got.Moves, got.Remote)
	}
}

// TestCollectorGone: a refusal that ICMP brings back is counted and said once, and costs no datagram.
func TestCollectorGone(t *testing.T) {
	for name, listen := range map[string]string{"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0"} {
		t.Run(name, func(t *testing.T) { collectorGone(t, listen) })
	}
}

func collectorGone(t *testing.T, listen string) {
	t.Helper()
	key := newKey(t)
	in := newSink(t, listen)
	in.close()
	var log syncBuffer
	s := runLogged(t, config(in.addr.String(), key), &log)
	const each = 20
	for i := range each {
		addOne(s.Sender, i)
		eventually(t, "send", func() bool { return s.Stats().Sent.Records == uint64(i+1) })
	}
	if got := s.Stats().Refused; got < each/2 {
		t.Errorf("%d refusals of %d datagrams", got, each)
	}
	back := newSink(t, in.addr.String())
	for i := range each {
		addOne(s.Sender, i)
	}
	if got := s.drain(t).Sent.Records; got != 2*each {
		t.Errorf("sent %d records of %d", got, 2*each)
	}
	if got := len(byBytes(open(t, back.wait(t, 1), key))); got != each {
		t.Errorf("%d of %d records came once the collector was back", got, each)
	}
	if n := strings.Count(log.String(), "nobody listens there"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
}
