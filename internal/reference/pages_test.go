package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/collector"
	"flowsensor/internal/metrics"
	"flowsensor/internal/sensor"
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

// What the documents tell a reader to look at and to type exists.
func TestDocumentsNameWhatExists(t *testing.T) {
	root := filepath.Join("..", "..")
	documents, err := filepath.Glob(filepath.Join(root, "packaging", "doc", "*.md"))
	if err != nil || len(documents) < 4 {
		t.Fatalf("documents: %q, %v", documents, err)
	}
	known := append(names("flow_sensor_", sensor.Metrics()), names("flow_collector_", collector.Metrics())...)
	makefile := read(t, filepath.Join(root, "Makefile"))
	metric, target, file := regexp.MustCompile(`flow_(?:sensor|collector)_[a-z_]+`), regexp.MustCompile("(?m)(?:`|^)make ([a-z-]+)"), regexp.MustCompile("`((?:packaging|internal|systemd|etc)/[^`]*)`")
	for _, path := range append(documents, filepath.Join(root, "README.md")) {
		text := read(t, path)
		checkMetrics(t, path, metric.FindAllString(text, -1), known)
		for _, found := range target.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n.PHONY: "+found[1]+"\n") {
				t.Errorf("%s: there is no target %s", path, found[1])
			}
		}
		for _, found := range file.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, found[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// checkMetrics holds the names in a document to those that exist. One that ends in an underscore stands for a family.
func checkMetrics(t *testing.T, path string, found, known []string) {
	t.Helper()
	for _, name := range found {
		family := func(k string) bool { return strings.HasSuffix(name, "_") && strings.HasPrefix(k, name) }
		if !slices.Contains(known, name) && !slices.ContainsFunc(known, family) {
			t.Errorf("%s: there is no metric %s", path, name)
		}
	}
}

func names(namespace string, defs []metrics.Def) []string {
	all := make([]string, len(defs))
	for i, d := range defs {
		all[i] = namespace + d.Name
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
