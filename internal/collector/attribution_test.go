package collector_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/collector"
	"flowsensor/internal/daemon"
)

// Each refusal names the line and what is allowed.
func TestAttributionRefusals(t *testing.T) {
	const office = "[[network]]\nname = \"office\"\nprefixes = [\"192.0.2.0/24\"]\n"
	for name, c := range map[string]struct{ text, want string }{
		"unknown network": {
			office + "[[role]]\nsource = \"home\"\naction = \"lower_port\"\n",
			`:5: role[0].source: no network has the name "home": want one of ["office"], "unknown" for all others, or "" for any`,
		},
		"two names": {
			office + "[[network]]\nname = \"branch\"\nprefixes = [\"192.0.2.0/24\"]\n",
			`:6: network[1].prefixes: 192.0.2.0/24 is network "office" above: one prefix has one name`,
		},
		"ours": {
			office + "[[network]]\nname = \"office\"\nours = true\nprefixes = [\"192.0.3.0/24\"]\n",
			`:6: network[1].ours: network "office" is ours = false above`,
		},
		"port 0": {
			"[[role]]\naction = \"port_match\"\nports = [53, 0]\n",
			`:3: role[0].ports: 0 is out of range: want 1 to 65535`,
		},
		"port 70000": {
			"[[role]]\naction = \"port_match\"\nports = [70000]\n",
			`:3: role[0].ports: 70000 is out of range: want 1 to 65535`,
		},
		"service port": {"service_ports = [0]\n", `:1: service_ports: 0 is out of range: want 1 to 65535`},
		"no action":    {"[[role]]\nsource = \"\"\n", `:1: role[0].action: no action: want one of ["handshake" "lower_port" "port_match" "assign"]`},
		"empty action": {"[[role]]\naction = \"\"\n", `:2: role[0].action: no action: want one of`},
		"action":       {"[[role]]\naction = \"guess\"\n", `:2: role[0].action: "guess": want one of ["handshake" "lower_port" "port_match" "assign"]`},
		"no ports":     {"[[role]]\naction = \"port_match\"\nports = []\n", `:3: role[0].ports: no port: port_match would never match`},
		"side":         {"[[role]]\naction = \"lower_port\"\ntie = \"left\"\n", `:3: role[0].tie: "left": want one of ["source" "destination"]`},
		"no client":    {"[[role]]\naction = \"assign\"\nport = \"source\"\n", `:1: role[0].client: assign must say where the client is: want "source" or "destination"`},
		"misplaced":    {"[[role]]\naction = \"handshake\"\ndrop = true\n", `:3: role[0].drop: handshake does not take it: it goes with [port_match assign]`},
		"mapped": {
			"[[network]]\nname = \"a\"\nprefixes = [\"::ffff:192.0.2.0/120\"]\n",
			`:3: network[0].prefixes: "::ffff:192.0.2.0/120" is an IPv4 network in IPv6 form, in which no IPv4 address is: write "192.0.2.0/24"`,
		},
		"host bits": {
			"[[network]]\nname = \"a\"\nprefixes = [\"192.0.2.1/24\"]\n",
			`:3: network[0].prefixes: "192.0.2.1/24" has bits behind its length: write "192.0.2.0/24"`,
		},
		"no prefix": {
			"[[network]]\nname = \"a\"\nprefixes = [\"192.0.2.0/33\"]\n",
			`:3: network[0].prefixes: "192.0.2.0/33" is no network: write it as "192.0.2.0/24" or "2001:db8::/32"`,
		},
		"name":     {"[[network]]\nname = \"\"\nprefixes = [\"192.0.2.0/24\"]\n", `:2: network[0].name: no name`},
		"reserved": {"[[network]]\nname = \"unknown\"\nprefixes = [\"192.0.2.0/24\"]\n", `:2: network[0].name: "unknown" is the name of all addresses that no network holds: want another`},
	} {
		_, err := load(t, c.text)
		if err == nil || !strings.Contains(err.Error(), "collector.toml"+c.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, c.want)
			continue
		}
		key, _, _ := strings.Cut(strings.SplitN(c.want, ": ", 2)[1], ": ")
		if strings.Count(err.Error(), key+": ") != 1 {
			t.Errorf("%s: %s is refused more than once: %v", name, key, err)
		}
	}
}

func TestCheckTellsWhatHasNoEffect(t *testing.T) {
	path := write(t, "roles = [\"write\"]\n[journal]\nurl = \"nats://127.0.0.1:4222\"\n"+
		"[[network]]\nname = \"a\"\nprefixes = [\"192.0.2.0/24\"]\n[[network]]\nname = \"b\"\nprefixes = [\"192.0.2.128/25\"]\n")
	var out strings.Builder
	if err := collector.Check(path, &out); err != nil {
		t.Fatal(err)
	}
	want := "# warning: " + path + ":9: network[1].prefixes: 192.0.2.128/25 is left out: 192.0.2.0/24 of network \"a\" stands above and covers it\n"
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %s\nwant %s", out.String(), want)
	}
	if again, err := load(t, out.String()); err != nil || len(again.Networks) != 2 || again.Networks[1].Name != "b" {
		t.Errorf("what is printed reads as %+v, %v", again.Networks, err)
	}
}

// A running collector says so too: at its start, and when it reads the configuration again.
func TestServiceTellsWhatHasNoEffect(t *testing.T) {
	const covered = "[[network]]\nname = \"a\"\nprefixes = [\"192.0.2.0/24\"]\n[[network]]\nname = \"b\"\nprefixes = [\"192.0.2.128/25\"]\n"
	path, c := configured(t, covered)
	var log bytes.Buffer
	s := collector.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "192.0.2.128/25 is left out"); n != 2 {
		t.Errorf("said %d times, want 2:\n%s", n, log.String())
	}
}
