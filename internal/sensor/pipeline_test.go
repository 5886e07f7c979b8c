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

	"flowsensor/internal/export"
	"flowsensor/internal/testnet"
)

// pipelineOn wires a pipeline that captures on a link, its sender in the capturing host.
func pipelineOn(t *testing.T, l *testnet.Link) *pipeline {
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
	c.Capture.RingSize, c.Flows.MaxFlows = 1<<20, 4096
	c.Export.Collector, c.Export.KeyFile = []string{"127.0.0.1:9"}, filepath.Join(dir, "key")
	var p *pipeline
	err = l.Capture.Do(func() (err error) {
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
