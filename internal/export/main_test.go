package export_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sensorID = "edge-1"

func newKey(tb testing.TB) seal.Key {
	tb.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// sink is a real UDP receiver that keeps what arrives.
type sink struct {
	conn *net.UDPConn
	addr netip.AddrPort
	done chan struct{}

	mu        sync.Mutex
	datagrams [][]byte // protected by mu
}

func newSink(tb testing.TB, address string) *sink {
	tb.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		tb.Fatal(err)
	}
	_ = conn.SetReadBuffer(8 << 20)
	s := &sink{conn: conn, done: make(chan struct{})}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s.addr = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	go s.receive()
	tb.Cleanup(s.close)
	return s
}

func (s *sink) receive() {
	defer close(s.done)
	buf := make([]byte, 1<<16)
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.datagrams = append(s.datagrams, bytes.Clone(buf[:n]))
		s.mu.Unlock()
	}
}

func (s *sink) close() {
	_ = s.conn.Close()
	<-s.done
}

func (s *sink) received() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.datagrams
}

// wait gives the datagrams once there are at least n, in the order they came.
func (s *sink) wait(tb testing.TB, n uint64) [][]byte {
	tb.Helper()
	eventually(tb, "datagrams at the sink", func() bool { return uint64(len(s.received())) >= n })
	return s.received()
}

// arrival is one opened and parsed datagram.
type arrival struct {
	length int
	header wire.Header
	batch  flow.Batch
}

// open opens and parses datagrams like a collector that holds the key; clock errors are no concern here.
func open(tb testing.TB, datagrams [][]byte, keys ...seal.Key) []arrival {
	tb.Helper()
	opener, err := seal.NewOpener([]seal.Sensor{{ID: sensorID, Keys: keys}}, seal.Limits{TTL: -1, Skew: -1})
	if err != nil {
		tb.Fatal(err)
	}
	var out []arrival
	for i, d := range datagrams {
		opened, reason := opener.Open(nil, d, netip.IPv6Loopback(), time.Now())
		if reason != seal.ReasonOK {
			tb.Fatalf("datagram %d of %d octets: %v", i, len(d), reason)
		}
		a := arrival{length: len(d)}
		h, body, err := wire.ParseHeader(opened.Plaintext)
		if err != nil {
			tb.Fatalf("datagram %d: %v", i, err)
		}
		a.header = h
		content, _ := h.Kind.Content()
		if err := wire.Parse(content, body, &a.batch); err != nil {
			tb.Fatalf("datagram %d: %v", i, err)
		}
		out = append(out, a)
	}
	return out
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	tb.Fatalf("no %s within 5 s", what)
}

// record makes valid records that differ in every field; Bytes is unique.
func record(i int) flow.Record {
	r := flow.Record{
		Key: flow.Key{
			Src: flow.Addr{Lo: 0xc0000200 + uint64(i%200)}, Dst: flow.Addr{Lo: 0xc6336400 + uint64(i%7)}, IfIndex: 3,
			SrcPort: uint16(1024 + i*7919%60000), DstPort: 443, Proto: flow.ProtoTCP, ToS: uint8(i % 3), Version: 4,
		},
		Bytes: 1_000_000 + uint64(i), Packets: 1 + uint64(i%97), TCPFlags: flow.SYN | flow.ACK,
		First:     1_700_000_000_000_000_000 + int64(i)*1_000_000,
		EndReason: flow.EndIdle, Handshake: flow.SawSYN,
	}
	r.Last = r.First + int64(i%1000)*1000
	if i%5 == 0 {
		r.Version = 6
		r.Src.Hi, r.Dst.Hi = 0x20010db8_00000000, 0x20010db8_00010000|uint64(i)
		r.VLAN = flow.VLANFromTCI(uint16(i % 4095))
	}
	return r
}

// config is for a test: fast, in memory.
func config(collector string, key seal.Key) export.Config {
	cfg := export.DefaultConfig()
	cfg.ID, cfg.Key, cfg.Collector = sensorID, key, collector
	cfg.Keeping = export.InMemory
	cfg.Delivery = export.FireAndForget
	cfg.FlushInterval = 40 * time.Millisecond
	return cfg
}

func newSender(tb testing.TB, cfg export.Config) *export.Sender {
	tb.Helper()
	return newSenderLogged(tb, cfg, io.Discard)
}

func newSenderLogged(tb testing.TB, cfg export.Config, log io.Writer) *export.Sender {
	tb.Helper()
	s, err := export.NewSender(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

// running is a Sender whose Run goes on in a goroutine.
type running struct {
	*export.Sender
	cancel context.CancelFunc
	ended  chan error
}

func run(tb testing.TB, cfg export.Config) *running {
	tb.Helper()
	return runLogged(tb, cfg, io.Discard)
}

func runLogged(tb testing.TB, cfg export.Config, log io.Writer) *running {
	tb.Helper()
	r := &running{Sender: newSenderLogged(tb, cfg, log), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.Run(ctx) }()
	tb.Cleanup(func() { r.stop(tb) })
	return r
}

// stop ends Run.
func (r *running) stop(tb testing.TB) {
	tb.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		tb.Errorf("run: %v", err)
	}
	r.ended <- nil
}

// drain ends Run and drains.
func (r *running) drain(tb testing.TB) export.Stats {
	tb.Helper()
	r.stop(tb)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		tb.Errorf("drain: %v", err)
	}
	return r.Stats()
}

// checkLedger holds the sums together once nothing is pending.
func checkLedger(tb testing.TB, s export.Stats, added export.Amount) {
	tb.Helper()
	if s.Added != added {
		tb.Errorf("added %+v, want %+v", s.Added, added)
	}
	if got := s.Sent.Plus(s.DroppedTotal()); got != added {
		tb.Errorf("sent %+v + dropped %+v = %+v, want %+v", s.Sent, s.Dropped, got, added)
	}
	if s.Pending != (export.Amount{}) {
		tb.Errorf("pending %+v after the end", s.Pending)
	}
}
