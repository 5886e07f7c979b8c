package collector_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"flowsensor/etc"
	"flowsensor/internal/collector"
	"flowsensor/internal/config"
)

// example loads the shipped configuration with one text replaced.
func example(t *testing.T, oldnew ...string) (collector.Config, error) {
	t.Helper()
	text := strings.NewReplacer(oldnew...).Replace(etc.CollectorTOML)
	if len(oldnew) > 0 && text == etc.CollectorTOML {
		t.Fatalf("%q is not in the example", oldnew)
	}
	return load(t, text)
}

func TestExampleShowsEveryDefault(t *testing.T) {
	got, err := example(t)
	if err != nil {
		t.Fatal(err)
	}
	want := collector.Defaults()
	want.Sensors = []collector.SensorConfig{{
		ID: "sensor-1", KeyFiles: []string{"/etc/flow-collector/keys/sensor-1.key"}, Prefixes: []string{},
	}}
	want.Journal.Directory = "/var/lib/flow-collector/journal"
	want.Store.Files.Directory = "/var/lib/flow-collector/lines"
	want.Store.DeadLetters.Path = "/var/lib/flow-collector/dead-letters.lp"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example says\n%+v\nthe defaults are\n%+v", got, want)
	}
	var c collector.Config
	doc, err := config.Parse("collector.toml", uncomment(etc.CollectorTOML), &c)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range config.Keys(reflect.TypeFor[collector.Config]()) {
		if !doc.IsDefined(key) {
			t.Errorf("the example lacks %s", key)
		}
	}
}

var hidden = regexp.MustCompile(`(?m)^#([^ \n])`)

// uncomment gives the example with the settings that it shows without setting them.
func uncomment(text string) string { return hidden.ReplaceAllString(text, "$1") }

// What the example shows as comments can be taken as it stands, and shows every key of its tables.
func TestExampleCommentsAreSettings(t *testing.T) {
	got, err := load(t, uncomment(etc.CollectorTOML))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []struct {
		name    string
		tables  int
		element reflect.Type
	}{
		{"network", len(got.Networks), reflect.TypeFor[collector.NetworkConfig]()},
		{"role", len(got.RoleRules), reflect.TypeFor[collector.RoleConfig]()},
		{"legacy_agent", len(got.LegacyAgents), reflect.TypeFor[collector.LegacyAgentConfig]()},
	} {
		if table.tables != 1 {
			t.Errorf("the example shows [[%s]] %d times", table.name, table.tables)
		}
		_, below, _ := strings.Cut(uncomment(etc.CollectorTOML), "[["+table.name+"]]\n")
		text, _, _ := strings.Cut(below, "\n[")
		for _, key := range config.Keys(table.element) {
			if !strings.Contains("\n"+text, "\n"+key+" = ") {
				t.Errorf("the example lacks %s in [[%s]]", key, table.name)
			}
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	for name, c := range map[string]struct{ old, line, want string }{
		"id":           {`id = "sensor-1"`, `id = "-"`, "sensor[0].id: "},
		"id twice":     {"\n[ingest]\n", "\n[[sensor]]\nid = \"sensor-1\"\nkey_files = [\"k\"]\n[ingest]\n", `sensor[1].id: "sensor-1" stands twice`},
		"no key":       {`key_files = ["/etc/flow-collector/keys/sensor-1.key"]`, `key_files = []`, "sensor[0].key_files: 0 files: want 1 to 2"},
		"three keys":   {`key_files = ["/etc/flow-collector/keys/sensor-1.key"]`, `key_files = ["a", "b", "c"]`, "key_files: 3 files"},
		"prefix":       {`prefixes = []`, `prefixes = ["192.0.2.0/33"]`, `sensor[0].prefixes: "192.0.2.0/33" is no network`},
		"prefix bits":  {`prefixes = []`, `prefixes = ["192.0.2.1/24"]`, `has bits behind its length: write "192.0.2.0/24"`},
		"listen":       {`listen = ["0.0.0.0:9999", "[::]:9999"]`, `listen = ["localhost:9999"]`, "ingest.listen: "},
		"listen twice": {`listen = ["0.0.0.0:9999", "[::]:9999"]`, `listen = ["[::]:9999", "[::]:9999"]`, `ingest.listen: "[::]:9999" stands twice`},
		"no listen":    {`listen = ["0.0.0.0:9999", "[::]:9999"]`, `listen = []`, "ingest.listen: no address"},
		"buffer":       {`receive_buffer = "8MiB"`, `receive_buffer = "1KiB"`, "ingest.receive_buffer: 1KiB: want 64KiB to 1GiB"},
		"ttl":          {`ttl = "5s"`, `ttl = "1ms"`, "ingest.ttl: 1ms is out of range"},
		"kind":         {`kind = "files"`, `kind = "paper"`, `store.kind: "paper": want one of`},
		"url":          {`kind = "files"`, `kind = "influxdb"`, "store.influxdb.url: url: "},
		"queue":        {`queue = 500000`, `queue = 10`, "store.queue: queue is 10 records"},
		"reload":       {`reload_interval = "30s"`, `reload_interval = "1ms"`, "enrich.reload_interval: 1ms is out of range"},
		"compression":  {`compression = "none"`, `compression = "zip"`, "store.files.compression"},
		"dead letters": {`max_size = "64MiB"`, `max_size = "1B"`, "store.dead_letters.max_size: 1B: want 4KiB or more"},
		"tag":          {`tags = ["sensor", "proto", "service"]`, `tags = ["iface"]`, `rollup.conversation.tags: "iface": want some of sensor, proto`},
		"interval":     {`interval = "1m"`, `interval = "1500ms"`, "rollup: conversation: interval is 1.5s, must be whole seconds"},
		"long":         {`interval = "10s"`, `interval = "2h"`, "rollup.traffic.interval: 2h0m0s is out of range"},
		"top":          {`top = 10000`, `top = 0`, "rollup: conversation: top 0"},
		"keys":         {`max_keys = 100000`, `max_keys = -1`, "rollup: traffic: -1 keys"},
		"flow network": {`networks = []`, `networks = ["office"]`, `rollup.flow.networks: "office": there is no [[network]] of that name`},
		"api":          {`api = "v1"`, `api = "v4"`, "store.influxdb.api"},
	} {
		_, err := example(t, c.old, c.line)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "collector.toml:") {
			t.Errorf("%s: got %v\nwant %s", name, err, c.want)
		}
	}
}

// A password in the URL is refused, and not repeated in the error.
func TestURLWithPasswordIsNotPrinted(t *testing.T) {
	_, err := example(t, `kind = "files"`, `kind = "influxdb"`, `url = ""`, `url = "http://root:hunter2@127.0.0.1:8086"`)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "files of their own") {
		t.Errorf("got %v", err)
	}
}

// load loads a configuration of that text alone.
func load(t *testing.T, text string) (collector.Config, error) {
	t.Helper()
	return collector.Load(write(t, text))
}

// write makes a configuration file of that text.
func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "collector.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A refusal names the line of its key, also where the store's own packages know what can work.
func TestRefusalsNameTheirLine(t *testing.T) {
	for line, want := range map[string]string{
		`queue = 500000`: "store.queue", `size = "2MiB"`: "store.size", `retry_longest = "30s"`: "store.retry_longest", `max_age = "1h"`: "store.files.max_age",
	} {
		key, _, _ := strings.Cut(line, " ")
		value := map[bool]string{true: `"1ms"`, false: `"1B"`}[strings.HasSuffix(line, `s"`) || strings.HasSuffix(line, `h"`)]
		if key == "queue" {
			value = "1"
		}
		before, _, _ := strings.Cut(etc.CollectorTOML, "\n"+line+"\n")
		at := fmt.Sprintf("collector.toml:%d: %s: ", strings.Count(before, "\n")+2, want)
		if _, err := example(t, "\n"+line+"\n", "\n"+key+" = "+value+"\n"); err == nil || !strings.Contains(err.Error(), at) {
			t.Errorf("%s: got %v, want %s", line, err, at)
		}
	}
}
