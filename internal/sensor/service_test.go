package sensor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/daemon"
	"flowsensor/internal/sensor"
	"flowsensor/internal/testnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func writeKey(t *testing.T, path string) {
	t.Helper()
	key, err := sensor.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configured writes a key and a configuration that captures on an interface, and loads it.
func configured(t *testing.T, iface string) (string, sensor.Config) {
	t.Helper()
	dir := t.TempDir()
	writeKey(t, filepath.Join(dir, "key"))
	path := filepath.Join(dir, "sensor.toml")
	text := fmt.Sprintf("id = \"edge-1\"\nstate_dir = %q\n[[interface]]\nname = %q\n[capture]\nring_size = \"1MiB\"\nworkers = 2\n"+
		"[flows]\nmax_flows = 4096\n[export]\ncollector = [\"127.0.0.1:9\"]\nkey_file = %q\n[http]\nlisten = \"\"\n[status]\nsocket = \"\"\n", dir, iface, filepath.Join(dir, "key"))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := sensor.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, c
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestServiceLeavesNothingOpen(t *testing.T) {
	testnet.RequireRoot(t)
	before := 0
	for round := range 3 {
		live(t)
		if round == 0 {
			before = descriptors(t) // the poller's own are open from now on
		} else if now := descriptors(t); now != before {
			t.Errorf("%d descriptors open, were %d", now, before)
		}
	}
}

// live is one life of a sensor: started, reloaded, stopped while packets come.
func live(t *testing.T) {
	t.Helper()
	path, c := configured(t, "lo")
	monitor := daemon.NewMonitor(2*time.Second, nil)
	s := sensor.NewService(path, c, monitor, slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	writeKey(t, filepath.Join(filepath.Dir(path), "key"))
	if err := s.Reload(t.Context()); err != nil {
		t.Errorf("reload: %v", err)
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "sensor.toml:1") {
		t.Errorf("a broken configuration was reloaded: %v", err)
	}
	if conn, err := net.Dial("udp", "127.0.0.1:9"); err != nil {
		t.Error(err)
	} else {
		_, _ = conn.Write([]byte("x")) // refused, and captured
		_ = conn.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if l := s.Ledger(); !l.Balanced() || l.Received != l.Packets.Read+l.Dropped+l.Discarded || l.Flows != 0 {
		t.Errorf("the ledger does not balance: %+v", l)
	}
	if names := monitor.Stalled(); len(names) != 0 {
		t.Errorf("still watched: %v", names)
	}
}

// What fails half-way leaves nothing open, and says what is wrong.
func TestServiceStartIsAllOrNothing(t *testing.T) {
	testnet.RequireRoot(t)
	path, c := configured(t, "lo")
	c.Interfaces = append(c.Interfaces, sensor.InterfaceConfig{Name: "nosuch0"})
	before := descriptors(t)
	s := sensor.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "nosuch0") {
		t.Errorf("started: %v", err)
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors open, were %d", now, before)
	}
}

// What only the start can find is refused with file and line too, and with the exit status that fits.
func TestServiceStartNamesTheLine(t *testing.T) {
	testnet.RequireRoot(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	for want, c := range map[string]struct {
		old, line string
		status    int
	}{
		":4: interface[0].name: interface nosuch0: no such":                {`"lo"`, `"nosuch0"`, daemon.ExitFailure},
		":5: interface[0].filter: filter expression refused: ":             {`"lo"`, "\"lo\"\nfilter = \"prot 23\"", daemon.ExitConfig},
		":7: capture.filter: filter expression refused: ":                  {"workers = 2", "filter = \"prot 23\"", daemon.ExitConfig},
		":13: export.spool_dir: export: spool directory: mkdir /proc/none": {`[http]`, "spool_dir = \"/proc/none\"\n[http]", daemon.ExitFailure},
		":14: http.listen: listen tcp 127.0.0.1:":                          {`listen = ""`, fmt.Sprintf("listen = %q", busy.Addr()), daemon.ExitFailure},
	} {
		path, _ := configured(t, "lo")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), c.old, c.line, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		config, err := sensor.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		err = sensor.NewService(path, config, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler)).Start(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), path+want) || daemon.ExitCode(err) != c.status {
			t.Errorf("got %v, exit status %d\nwant %s and %d", err, daemon.ExitCode(err), want, c.status)
		}
	}
}

// A key that root can read and the service cannot passes no check: the start would refuse it.
func TestCheckWantsTheKeyReadableForTheService(t *testing.T) {
	testnet.RequireRoot(t)
	path, c := configured(t, "lo")
	if err := sensor.Check(t.Context(), path, io.Discard); err != nil {
		t.Fatal(err)
	}
	const service = 12345
	if err := errors.Join(os.Chown(filepath.Dir(path), 0, service), os.Chmod(filepath.Dir(path), 0o750)); err != nil {
		t.Fatal(err)
	}
	err := sensor.Check(t.Context(), path, io.Discard)
	if want := path + ":12: export.key_file: key file " + c.Export.KeyFile + ": its group is not that"; err == nil || !strings.HasPrefix(err.Error(), want) ||
		daemon.ExitCode(err) != daemon.ExitConfig {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
