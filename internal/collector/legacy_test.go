package collector_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/collector"
	"flowsensor/internal/daemon"
	"flowsensor/internal/testgate"
)

func TestLegacyAgentRefusals(t *testing.T) {
	const good = "[[sensor]]\nid = \"edge-1\"\nkey_files = [\"k\"]\n[[legacy_agent]]\nid = \"old-1\"\naddress = \"192.0.2.9\"\nkey_files = [\"k\"]\n"
	if _, err := load(t, good); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, good[strings.Index(good, "[[legacy"):]); err != nil {
		t.Errorf("agents alone: %v", err)
	}
	for name, c := range map[string]struct{ old, with, want string }{
		"id":            {`"old-1"`, `"-"`, `:5: legacy_agent[0].id: `},
		"sensor's id":   {`"old-1"`, `"edge-1"`, `:5: legacy_agent[0].id: "edge-1" stands twice, among sensors and agents`},
		"address":       {`"192.0.2.9"`, `"192.0.2.0/24"`, `:6: legacy_agent[0].address: "192.0.2.0/24" is no address: write the one that its datagrams come from`},
		"address twice": {"[[sensor]]", "[[legacy_agent]]\nid = \"x\"\naddress = \"::ffff:192.0.2.9\"\nkey_files = [\"k\"]\n[[sensor]]", `:10: legacy_agent[1].address: 192.0.2.9 stands twice: it is what tells agents apart`},
	} {
		_, err := load(t, strings.Replace(good, c.old, c.with, 1))
		if err == nil || !strings.Contains(err.Error(), "collector.toml"+c.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, c.want)
		}
	}
	_, err := load(t, good[:strings.LastIndex(good, "key_files")])
	if err == nil || !strings.Contains(err.Error(), ":4: legacy_agent[0].key_files: 0 files: want 1 to 2") {
		t.Errorf("without a key: %v", err)
	}
}

// pythonAgent sends flows to a port as an agent does.
func pythonAgent(t *testing.T, keyFile string, port int, flows ...string) {
	t.Helper()
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "from cryptography.fernet import Fernet").Run() != nil {
			continue
		}
		cmd := exec.Command(python, "../legacy/testdata/agent.py", string(key), "127.0.0.1", fmt.Sprint(port))
		cmd.Stdin = strings.NewReader(strings.Join(flows, "\n"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	const remedy = "no Python with the module cryptography: apt-get install python3-cryptography"
	testgate.Skip(t, remedy)
}

// freePort gives a UDP port that nobody had a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// What a myason agent sends comes out as rows like those of a sensor.
func TestLegacyAgentToRows(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	key := filepath.Join(dir, "key")
	writeKey(t, key)
	path := write(t, fmt.Sprintf("state_dir = %q\n[ingest]\nlisten = [\"127.0.0.1:%d\"]\n[http]\nlisten = \"\"\n"+
		"[[legacy_agent]]\nid = \"old-1\"\naddress = \"127.0.0.1\"\nkey_files = [%q]\n", dir, port, key))
	c, err := collector.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s := collector.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	send := func(first int) {
		t.Helper()
		var flows []string
		for i := range 3 {
			flows = append(flows, fmt.Sprintf(`{"eth0,192.0.2.1,198.51.100.7,6,%d,443,0,2048": {"bytes": 1500, "packets": 3, `+
				`"start_time": 1700000000.5, "end_time": 1700000009.25, "flags": "FA"}}`, first+i))
		}
		pythonAgent(t, key, port, flows...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	defer func() {
		if t.Skipped() {
			_ = s.Stop(ctx)
		}
	}()
	send(1000)
	awaitStatus(t, s, "3 records received")
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	send(2000)
	awaitStatus(t, s, "6 records received")
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	rows, ledger := 0, false
	for _, text := range linesBelow(t, filepath.Join(dir, "lines")) {
		ledger = ledger || strings.HasPrefix(text, "flow_collector,") && strings.Contains(text, ",legacy=8i,legacy_accepted_batches=6i,") &&
			strings.Contains(text, ",refused=0i,")
		if strings.HasPrefix(text, "flow,iface=eth0,proto=6,sensor=old-1 ") && strings.Contains(text, `dst="198.51.100.7"`) &&
			strings.Contains(text, `bytes=1500i,packets=3i,first=1700000000500000i,last=1700000009250000i`) && strings.Contains(text, `end_reason="fin"`) {
			rows++
		}
	}
	if rows != 6 || !ledger {
		t.Errorf("%d rows, want 6; in the ledger: %t; %q", rows, ledger, linesBelow(t, filepath.Join(dir, "lines")))
	}
}

func awaitStatus(t *testing.T, s *collector.Service, want string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !strings.HasPrefix(s.Status(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("status is %q, want %q", s.Status(), want)
		}
	}
}

func linesBelow(t *testing.T, dir string) (lines []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.lp*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines = slices.AppendSeq(lines, strings.Lines(string(text)))
	}
	return lines
}
