package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The committed references are what the source says.
func TestReferencesAreCurrent(t *testing.T) {
	for name, want := range pages() {
		path := filepath.Join("..", "..", "packaging", "doc", name)
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("packaging/doc/%s is behind the source: make reference (%v)", name, err)
		}
	}
}

func TestPages(t *testing.T) {
	all := pages()
	for name, wants := range map[string][]string{
		"metrics.md": {
			"## flow-sensor\n", "| `flow_sensor_refused_packets_total` | reason | Packets not accounted, by reason. |\n",
			"| `flow_collector_socket_datagrams_total` | socket, address | ",
		},
		"configuration.md": {
			"### `[[interface]]`\n\nOne table for each interface", "### `[capture]`\n", "\n- `snap_length = 256`  \n  Octets kept of each packet.",
			"\n- `ttl = \"5s\"`, `skew = \"5s\"`  \n  A datagram may be this old",
		},
	} {
		for _, want := range wants {
			if !strings.Contains(all[name], want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
}
