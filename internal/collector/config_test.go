package collector_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"flowsensor/etc"
	"flowsensor/internal/collector"
	"flowsensor/internal/config"
)

// example loads the shipped configuration with one text replaced.
func example(t *testing.T, oldnew ...string) (collector.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "collector.toml")
	text := strings.NewReplacer(oldnew...).Replace(etc.CollectorTOML)
	if len(oldnew) > 0 && text == etc.CollectorTOML {
		t.Fatalf("%q is not in the example", oldnew)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return collector.Load(path)
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
	doc, err := config.Parse("collector.toml", etc.CollectorTOML, &c)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range config.Keys(reflect.TypeFor[collector.Config]()) {
		if !doc.IsDefined(key) {
			t.Errorf("the example lacks %s", key)
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
		"no listen":    {`listen = ["0.0.0.0:9999", "[::]:9999"]`, `listen = []`, "ingest.listen: no address"},
		"buffer":       {`receive_buffer = "8MiB"`, `receive_buffer = "1KiB"`, "ingest.receive_buffer: 1KiB: want 64KiB to 1GiB"},
		"ttl":          {`ttl = "5s"`, `ttl = "1ms"`, "ingest.ttl: 1ms is out of range"},
		"kind":         {`kind = "files"`, `kind = "paper"`, `store.kind: "paper": want one of`},
		"url":          {`kind = "files"`, `kind = "influxdb"`, "store.influxdb: url: "},
		"queue":        {`queue = 500000`, `queue = 10`, "store: queue is 10 records"},
		"compression":  {`compression = "none"`, `compression = "zip"`, "store.files.compression"},
		"dead letters": {`max_size = "64MiB"`, `max_size = "1B"`, "store.dead_letters.max_size: 1B: want 4KiB or more"},
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
