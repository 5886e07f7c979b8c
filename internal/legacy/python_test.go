package legacy_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/legacy"
	"flowsensor/internal/testgate"
)

// python gives a Python that can make Fernet tokens: an implementation that shares nothing with ours.
func python(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(path, "-c", "from cryptography.fernet import Fernet").Run() == nil {
			return path
		}
	}
	const remedy = "no Python with the module cryptography: apt-get install python3-cryptography"
	testgate.Skip(t, remedy)
	return ""
}

// Datagrams made by Python's json, base64 and cryptography, as the agents make them, are taken.
func TestDatagramsMadeByPython(t *testing.T) {
	key := newKey(t)
	flows := []string{
		tcp,
		`{"eth0,2001:db8::1,2001:db8::2,17,53,4000,0,34525": {"bytes": 100, "packets": 2, "start_time": 1700000001.5, "end_time": 1700000002.25, "flags": "None"}}`,
		`{"Wi-Fi \u00e9,192.0.2.1,224.0.0.251,17,5353,5353,0,2048": {"bytes": 100, "packets": 2, "start_time": 1700000001, "end_time": 1700000002, "flags": "None"}}`,
	}
	cmd := exec.Command(python(t), "testdata/agent.py", key.Encode())
	cmd.Stdin = strings.NewReader(strings.Join(flows, "\n"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	agents := newAgents(t, key)
	var got []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var b flow.Batch
		if !legacy.Looks(lines.Bytes()) {
			t.Errorf("%q does not look like an agent's", lines.Text())
		}
		if reason := agents.Open(&b, lines.Bytes(), home, time.Now()); reason != legacy.ReasonOK {
			t.Fatalf("%q: %s", lines.Text(), reason)
		}
		r := &b.Records[0]
		got = append(got, strings.Join([]string{b.InterfaceName(r.IfIndex), r.Src.Netip(r.Version).String(), r.EndReason.String()}, " "))
	}
	if want := "eth0 192.0.2.1 fin, eth0 2001:db8::1 idle, Wi-Fi é 192.0.2.1 idle"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
