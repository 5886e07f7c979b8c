package sensor

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/daemon"
	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/testnet"
	"flowsensor/internal/wire"
)

// configOn captures on a link and sends to loopback.
func configOn(t *testing.T, l *testnet.Link) Config {
	t.Helper()
	dir := t.TempDir()
	key, err := GenerateKey()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := Defaults()
	c.ID, c.StateDir, c.Interfaces = "edge-1", dir, []InterfaceConfig{{Name: l.Capture.Interface}}
	c.Capture.RingSize, c.Flows.MaxFlows, c.HTTP.Listen = 8<<20, 4096, ""
	c.Export.Collector, c.Export.KeyFile = []string{"127.0.0.1:9"}, filepath.Join(dir, "key")
	return c
}

// pipelineOn wires a pipeline that captures on a link, its sender in the capturing host.
func pipelineOn(t *testing.T, l *testnet.Link) *pipeline {
	t.Helper()
	c := configOn(t, l)
	var p *pipeline
	err := l.Capture.Do(func() (err error) {
		p, err = newPipeline(t.Context(), c, slog.New(slog.DiscardHandler))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// When the sender moves, the kernel filter leaves out the new ends too, before a datagram has left there.
func TestMovedRenewsTheFilters(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	p := pipelineOn(t, l)
	from := export.Endpoints{Local: p.sender.LocalAddr(), Remote: p.sender.RemoteAddr()}
	to := export.Endpoints{Local: netip.AddrPortFrom(l.Capture.IPv4, 40000), Remote: netip.AddrPortFrom(l.Generator.IPv4, 9999)}
	answer := func(want uint64) {
		t.Helper()
		for _, port := range []uint16{to.Remote.Port(), to.Remote.Port() + 1} { // the second is nobody's
			sendUDP(t, l.Generator, netip.AddrPortFrom(to.Remote.Addr(), port), to.Local)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for p.taps[0].Stats().Received < want && ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
		if got := p.taps[0].Stats().Received; got != want {
			t.Errorf("%d packets were received, want %d", got, want)
		}
	}
	answer(2)
	p.moved(from, to)
	answer(3)
}

func sendUDP(t *testing.T, h *testnet.Host, from, to netip.AddrPort) {
	t.Helper()
	conn, err := h.ListenPacket("udp", from.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.WriteTo([]byte("answer"), net.UDPAddrFromAddrPort(to)); err != nil {
		t.Fatal(err)
	}
}

// serve runs a sensor on a link while traffic does its work, and gives the ledger of its life and the records it sent.
func serve(t *testing.T, l *testnet.Link, c Config, traffic func()) (*Ledger, []flow.Record) {
	t.Helper()
	return serveWith(t, l, c, func(*Service) { traffic() })
}

// serveWith is serve for traffic that looks at the sensor.
func serveWith(t *testing.T, l *testnet.Link, c Config, traffic func(s *Service)) (*Ledger, []flow.Record) {
	t.Helper()
	sink, err := l.Capture.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	control(t, sink, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) })
	c.Export.Collector, c.Export.Delivery = []string{sink.LocalAddr().String()}, export.FireAndForget // the sink acknowledges nothing
	s := NewService("", c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	if err := l.Capture.Do(func() error { return s.Start(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	traffic(s)
	awaitQuiet(s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	ledger := s.Ledger()
	if !ledger.Balanced() || ledger.Received != ledger.Packets.Read+ledger.Dropped+ledger.Discarded {
		t.Errorf("the ledger does not balance: %+v", ledger)
	}
	return ledger, received(t, sink, c, ledger.Records)
}

// awaitQuiet waits until a sensor has received nothing for a while: packets may be on their way yet when their sender is done.
func awaitQuiet(s *Service) {
	for before, received := ^uint64(0), s.Ledger().Received; received != before; {
		<-time.After(100 * time.Millisecond)
		before, received = received, s.Ledger().Received
	}
}

// received reads datagrams until they hold so many records.
func received(t *testing.T, sink net.PacketConn, c Config, records uint64) []flow.Record {
	t.Helper()
	key, err := seal.LoadKeyFile(c.Export.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	// Read long after they were sealed, where the machine is busy: their age is not what is tested here.
	opener, err := seal.NewOpener([]seal.Sensor{{ID: c.ID, Keys: []seal.Key{key}}}, seal.Limits{TTL: -1, Skew: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var all []flow.Record
	for b := make([]byte, 65536); uint64(len(all)) < records; {
		n, _, err := sink.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		opened, reason := opener.Open(nil, b[:n], netip.IPv6Loopback(), time.Now())
		if reason != seal.ReasonOK {
			t.Fatal(reason)
		}
		header, body, err := wire.ParseHeader(opened.Plaintext)
		if header.Kind == wire.Report {
			continue
		}
		var batch flow.Batch
		if err == nil {
			err = wire.ParseFlows(body, &batch)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, batch.Records...)
	}
	return all
}

func TestRecordsCarryTheSamplingRate(t *testing.T) {
	for configured, carried := range map[int]uint32{1: 0, 5: 5} {
		l := testnet.NewLink(t, testnet.Config{})
		c := configOn(t, l)
		c.Capture.Sample = configured
		ledger, records := serve(t, l, c, func() {
			for range 200 {
				sendUDP(t, l.Generator, netip.AddrPortFrom(l.Generator.IPv4, 1000), netip.AddrPortFrom(l.Capture.IPv4, 2000))
			}
		})
		var packets uint64
		for _, r := range records {
			if packets += r.Packets; r.Sampling != carried {
				t.Errorf("sample = %d: the record says %d", configured, r.Sampling)
			}
		}
		if packets != ledger.Received || packets == 0 || (packets == 200) != (configured == 1) {
			t.Errorf("sample = %d: %d packets in records, %d received", configured, packets, ledger.Received)
		}
	}
}
