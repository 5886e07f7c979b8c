package doctor_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowsensor/internal/daemon"
	"flowsensor/internal/doctor"
	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/sensor"
	"flowsensor/internal/testnet"
)

// collector receives on the loopback, for edge-1 with that key, until the test ends.
func collector(t *testing.T, key seal.Key, limits seal.Limits) string {
	t.Helper()
	opener, err := seal.NewOpener([]seal.Sensor{{ID: "edge-1", Keys: []seal.Key{key}}}, limits)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ingest.Listen(ingest.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Processors: 1, ID: "core-1"},
		opener, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, func(*flow.Batch) ingest.Verdict { return ingest.Full }) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, server.Close()); err != nil {
			t.Error(err)
		}
	})
	return server.Addrs()[0].String()
}

func newKey(t *testing.T) seal.Key {
	t.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestProbe(t *testing.T) {
	m, key := doctor.NewMachine(""), newKey(t)
	address := collector(t, key, seal.Limits{})
	a, err := m.Probe(t.Context(), address, "edge-1", key)
	if err != nil || a.From != address || a.Collector != "core-1" || a.Refused || a.RoundTrip <= 0 || a.Offset.Abs() > time.Second {
		t.Errorf("got %+v, %v", a, err)
	}
	if _, err := m.Probe(t.Context(), address, "edge-1", newKey(t)); !errors.Is(err, doctor.ErrNoAnswer) {
		t.Errorf("with a key that is not the collector's: %v", err)
	}
	if _, err := m.Probe(t.Context(), address, "no such id", key); !errors.Is(err, seal.ErrID) {
		t.Errorf("got %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Probe(cancelled, address, "edge-1", key); err == nil {
		t.Error("a probe that was called off was answered")
	}
	if _, err := m.Probe(t.Context(), vacant(t), "edge-1", key); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("where nobody listens: %v", err)
	}
}

// vacant is a port of the loopback that nobody listens on.
func vacant(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.LocalAddr().String()
}

// The real machine answers every question, as far as this user may ask.
func TestMachine(t *testing.T) {
	m := doctor.NewMachine(filepath.Join(t.TempDir(), "none"))
	if all, err := m.Interfaces(); err != nil || len(all) == 0 {
		t.Errorf("%v %v", all, err)
	}
	if c, err := m.Card("lo"); err != nil || c.Queues < 1 {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := m.Card("nosuch0"); err == nil {
		t.Error("a card that is not there")
	}
	if s, err := m.Space(t.TempDir()); err != nil || s.Total == 0 || s.Free > s.Total {
		t.Errorf("%+v %v", s, err)
	}
	if a, err := m.Account("root"); err != nil || a.UID != 0 {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := m.Account("nosuchuser"); err == nil {
		t.Error("a user that is not there")
	}
	if k, err := m.Kernel(); err != nil || !strings.Contains(k, ".") {
		t.Errorf("%q %v", k, err)
	}
	if _, err := m.Clock(); err != nil {
		t.Error(err)
	}
	if n, err := m.Memory(); err != nil || n == 0 || m.CPUs() < 1 {
		t.Error(n, err)
	}
}

// What the checks lean on beside the kernel.
func TestMachinesSurroundings(t *testing.T) {
	m := doctor.NewMachine(filepath.Join(t.TempDir(), "none"))
	if text, err := m.ReadFile("/proc/net/softnet_stat"); err != nil || text == "" {
		t.Errorf("%q %v", text, err)
	}
	if len(m.List("/proc/self")) == 0 || m.List("/nosuch") != nil {
		t.Error("folders are not listed")
	}
	if f, err := m.Stat("/"); err != nil || !f.Mode.IsDir() {
		t.Errorf("%+v %v", f, err)
	}
	if m.Program("sh") != nil || m.Program("nosuchprogram") == nil {
		t.Error("programs are not found, or found too well")
	}
	if _, err := m.Unit(t.Context(), "flow-sensor.service"); err != nil && !errors.Is(err, doctor.ErrNoSystemd) {
		t.Error(err)
	}
	if _, err := m.Daemon(t.Context()); err == nil {
		t.Error("a daemon that is not there answers")
	}
}

func TestFeaturesOfThisKernel(t *testing.T) {
	testnet.RequireRoot(t)
	f, err := doctor.NewMachine("").Features()
	if err := errors.Join(err, f.TPacketV3, f.VnetHeader, f.FanoutCBPF); err != nil {
		t.Error(err)
	}
}

// A real sensor in a namespace of its own, examined there: while it runs, with its link down, and with its interface gone.
func TestRealSensor(t *testing.T) {
	testnet.RequireRoot(t)
	link := testnet.NewLink(t, testnet.Config{})
	dir, key := t.TempDir(), newKey(t)
	path := filepath.Join(dir, "sensor.toml")
	text := "id = \"edge-1\"\nstate_dir = \"" + dir + "\"\n[[interface]]\nname = \"" + link.Capture.Interface + "\"\n[capture]\nring_size = \"1MiB\"\n" +
		"[export]\ncollector = [\"127.0.0.1:9\"]\nkey_file = \"" + filepath.Join(dir, "key") + "\"\n[http]\nlisten = \"\"\n" +
		"[status]\nsocket = \"" + filepath.Join(dir, "s") + "\"\n"
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "key"), []byte(key.Encode()), 0o640),
		os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	c, err := sensor.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Export.Delivery = export.FireAndForget // nobody answers, and nothing is to wait for it
	s := sensor.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	if err := link.Capture.Do(func() error { return s.Start(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	examine := func() map[string]doctor.Result {
		by := make(map[string]doctor.Result)
		if err := link.Capture.Do(func() error {
			for _, r := range doctor.Examine(t.Context(), doctor.NewMachine(c.Status.Socket), path) {
				by[r.Check] = r
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return by
	}
	expect := func(by map[string]doctor.Result, states map[string]doctor.State) {
		t.Helper()
		for check, want := range states {
			if got := by[check]; got.State != want {
				t.Errorf("%s: %+v, want %v", check, got, want)
			}
		}
	}
	expect(examine(), map[string]doctor.State{
		"configuration": doctor.OK, "privilege": doctor.OK, "kernel": doctor.OK, "interface": doctor.OK, "promiscuous": doctor.OK,
		"mtu": doctor.OK, "queues": doctor.OK, "irq": doctor.Skipped, "card-drops": doctor.OK, "ring-drops": doctor.OK, "memory": doctor.OK,
		"key": doctor.OK, "collector": doctor.Problem,
	})
	if err := link.Capture.Down(); err != nil {
		t.Fatal(err)
	}
	expect(examine(), map[string]doctor.State{"interface": doctor.Problem, "promiscuous": doctor.OK})
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := link.Delete(); err != nil {
		t.Fatal(err)
	}
	expect(examine(), map[string]doctor.State{"interface": doctor.Problem, "promiscuous": doctor.Skipped, "ring-drops": doctor.Skipped})
}
