package ingest_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/testgate"
	"flowsensor/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback4, loopback6 = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")

// needIPv6 skips where the machine has no IPv6, which a machine that gates changes must have.
func needIPv6(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err == nil {
		_ = conn.Close()
		return
	}
	testgate.Skipf(t, "no IPv6 on loopback: enable it by sysctl net.ipv6.conf.lo.disable_ipv6=0 (%v)", err)
}

// agent makes datagrams as a sensor does.
type agent struct {
	t       testing.TB
	id      string
	keys    []seal.Key
	boot    uint64
	tx, seq uint64
	now     func() time.Time
}

func newAgent(tb testing.TB, id string) *agent {
	tb.Helper()
	return &agent{t: tb, id: id, keys: []seal.Key{newKey(tb)}, boot: 1000, now: time.Now}
}

func newKey(tb testing.TB) seal.Key {
	tb.Helper()
	k, err := seal.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// sensor is the agent as the collector's configuration has it.
func (a *agent) sensor(prefixes ...string) seal.Sensor {
	s := seal.Sensor{ID: a.id, Keys: a.keys}
	for _, p := range prefixes {
		s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(p))
	}
	return s
}

// header is the next one: each call is a datagram sent.
func (a *agent) header(kind wire.Kind) wire.Header {
	a.tx++
	return wire.Header{Kind: kind, ID: a.id, Boot: a.boot, TX: a.tx}
}

// seal makes a datagram under the first key.
func (a *agent) seal(h wire.Header, body []byte) []byte {
	a.t.Helper()
	return a.sealPlain(append(wire.AppendHeader(nil, h), body...))
}

func (a *agent) sealPlain(plain []byte) []byte {
	a.t.Helper()
	s, err := seal.NewSealer(a.id, a.keys[0])
	if err != nil {
		a.t.Fatal(err)
	}
	d, err := s.Seal(nil, plain, a.now())
	if err != nil {
		a.t.Fatal(err)
	}
	return d
}

// flows makes the datagram of the next batch.
func (a *agent) flows(records ...flow.Record) []byte {
	a.t.Helper()
	a.seq++
	return a.resend(records...)
}

// resend makes a datagram of the latest batch under a new tx.
func (a *agent) resend(records ...flow.Record) []byte {
	a.t.Helper()
	return a.seal(a.header(wire.Flows), a.body(a.seq, records...))
}

func (a *agent) body(seq uint64, records ...flow.Record) []byte {
	a.t.Helper()
	enc := wire.NewFlowsEncoder(32 << 10)
	for i := range records {
		if !enc.Add(&records[i], "eth0") {
			a.t.Fatalf("record %d does not fit", i)
		}
	}
	return enc.AppendBody(nil, wire.Numbers{Boot: a.boot, Seq: seq, Floor: 1, Base: 1_700_000_000_000_000_000 + int64(seq)*1000})
}

// record is a valid one; n tells records apart.
func record(n int) flow.Record {
	return flow.Record{
		Key: flow.Key{
			Version: 4, Proto: flow.ProtoTCP, SrcPort: uint16(n), DstPort: 443, IfIndex: 2,
			Src: flow.Addr{Lo: 0x0a000000 + uint64(n)}, Dst: flow.Addr{Lo: 0xc0000201},
		},
		Bytes: 1500 * uint64(n+1), Packets: uint64(n + 1), TCPFlags: flow.SYN | flow.ACK,
		First: 1_700_000_000_000_000_000, Last: 1_700_000_001_000_000_000, EndReason: flow.EndFIN,
	}
}

func records(n int) []flow.Record {
	rs := make([]flow.Record, n)
	for i := range rs {
		rs[i] = record(i)
	}
	return rs
}

// collector is a running Server and what it handed over.
type collector struct {
	*ingest.Server
	t    testing.TB
	logs *logBuffer

	mu      sync.Mutex
	taken   []flow.Batch
	verdict func(*flow.Batch) ingest.Verdict // nil: accept
	hold    func(*flow.Batch)                // nil: settle as durable at once
	stop    func() error
}

// start runs a Server on 127.0.0.1, or where cfg says, until the test ends.
func start(tb testing.TB, cfg ingest.Config, sensors ...seal.Sensor) *collector {
	tb.Helper()
	c := listen(tb, cfg, sensors...)
	c.run()
	return c
}

func listen(tb testing.TB, cfg ingest.Config, sensors ...seal.Sensor) *collector {
	tb.Helper()
	if len(cfg.Listen)+len(cfg.Conns) == 0 {
		cfg.Listen = []netip.AddrPort{netip.AddrPortFrom(loopback4, 0)}
	}
	c := &collector{t: tb, logs: &logBuffer{}}
	var err error
	c.Server, err = ingest.Listen(cfg, opener(tb, sensors...), c.logs.logger())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

func opener(tb testing.TB, sensors ...seal.Sensor) *seal.Opener {
	tb.Helper()
	o, err := seal.NewOpener(sensors, seal.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

func (c *collector) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, c.sink) }()
	c.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	c.t.Cleanup(func() {
		if err := c.stop(); err != nil {
			c.t.Errorf("Run: %v", err)
		}
	})
}

func (c *collector) sink(b *flow.Batch) ingest.Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verdict != nil {
		if v := c.verdict(b); v != ingest.Accepted {
			return v
		}
	}
	if c.hold != nil {
		c.hold(b)
		return ingest.Accepted
	}
	kept := *b
	kept.Records, kept.Interfaces, kept.Body = slices.Clone(b.Records), slices.Clone(b.Interfaces), slices.Clone(b.Body)
	kept.Readings, kept.Answers = slices.Clone(b.Readings), slices.Clone(b.Answers)
	c.taken = append(c.taken, kept)
	c.Settle(b, ingest.Durable)
	return ingest.Accepted
}

func (c *collector) batches() []flow.Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.taken)
}

func (c *collector) sensor(id string) ingest.SensorStats {
	c.t.Helper()
	st := c.Stats()
	i := slices.IndexFunc(st.Sensors, func(s ingest.SensorStats) bool { return s.ID == id })
	if i < 0 {
		c.t.Fatalf("no stats of sensor %q", id)
	}
	return st.Sensors[i]
}

// settle waits until n datagrams were read, and checks that every one of them ended in a reason.
func (c *collector) settle(n uint64) ingest.Stats {
	c.t.Helper()
	eventually(c.t, func() bool { return datagrams(c.Stats()) >= n })
	st := c.Stats()
	var sum uint64
	for _, o := range st.Outcomes {
		sum += o
	}
	if got := datagrams(st); got != n || sum != n {
		c.t.Fatalf("%d datagrams read, %d of them ended in a reason, want %d", got, sum, n)
	}
	return st
}

// account waits until every datagram that was sent over the connections was read or is in the kernel's count of drops,
// and gives that count. The kernel tells it with the next datagram received, so this sends some more.
func (c *collector) account(sent uint64, conns ...net.Conn) (drops uint64) {
	c.t.Helper()
	before := uint64(0)
	eventually(c.t, func() bool {
		st := c.Stats()
		read := datagrams(st)
		if read != before || read == 0 { // more may be on its way
			before = read
			time.Sleep(20 * time.Millisecond)
			return false
		}
		drops = 0
		for _, s := range st.Sockets {
			drops += s.KernelDrops
		}
		if read+drops == sent {
			return true
		}
		for _, conn := range conns {
			send(c.t, conn, []byte("z"))
			sent++
		}
		return false
	})
	return drops
}

func datagrams(st ingest.Stats) (n uint64) {
	for _, s := range st.Sockets {
		n += s.Datagrams
	}
	return n
}

func eventually(tb testing.TB, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatal("did not happen within 10 s")
		}
		time.Sleep(time.Millisecond)
	}
}

// dial opens a socket towards the collector's first address.
func (c *collector) dial() net.Conn {
	c.t.Helper()
	return dial(c.t, c.Addrs()[0])
}

func dial(tb testing.TB, to netip.AddrPort) net.Conn {
	tb.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(tb testing.TB, conn net.Conn, datagrams ...[]byte) {
	tb.Helper()
	for _, d := range datagrams {
		if _, err := conn.Write(d); err != nil {
			tb.Fatal(err)
		}
	}
}

// logBuffer keeps log lines as text.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// lines gives the lines that contain all of the words.
func (l *logBuffer) lines(words ...string) (found []string) {
	for line := range strings.Lines(l.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			found = append(found, line)
		}
	}
	return found
}
