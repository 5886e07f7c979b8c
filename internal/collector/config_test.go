package collector_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"flowsensor/etc"
	"flowsensor/internal/collector"
	"flowsensor/internal/config"
	"flowsensor/internal/daemon"
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
		"url":          {`kind = "files"`, `kind = "influxdb"`, "store.influxdb.url: must name the server"},
		"queue":        {`queue = 500000`, `queue = 10`, "store.queue: 10 records: want 5000"},
		"reload":       {`reload_interval = "30s"`, `reload_interval = "1ms"`, "enrich.reload_interval: 1ms is out of range"},
		"compression":  {`compression = "none"`, `compression = "zip"`, "store.files.compression"},
		"dead letters": {`max_size = "64MiB"`, `max_size = "1B"`, "store.dead_letters.max_size: 1B: want 4KiB or more"},
		"tag":          {`tags = ["sensor", "proto", "service"]`, `tags = ["iface"]`, `rollup.conversation.tags: "iface": want some of sensor, proto`},
		"interval":     {`interval = "1m"`, `interval = "1500ms"`, "rollup.conversation.interval: 1.5s: want whole seconds"},
		"long":         {`interval = "10s"`, `interval = "2h"`, "rollup.traffic.interval: 2h0m0s: want whole seconds from 1s to 1h0m0s"},
		"top":          {`top = 10000`, `top = 0`, "rollup.conversation.top: 0: want 1"},
		"keys":         {`max_keys = 100000`, `max_keys = -1`, "rollup.traffic.max_keys: -1: want 1"},
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

// A refusal names the line of its key, also where only the package that the setting is for knows what can work.
func TestRefusalsNameTheirLine(t *testing.T) {
	for want, c := range map[string]struct{ line, value string }{ // of the first such line in the example
		"journal.min_free: 1 octets":              {`min_free = "256MiB"`, `"1B"`},
		"journal.shards: 0":                       {`shards = 1`, `0`},
		"journal.group_size: 1048576 octets":      {`group_size = "256KiB"`, `"1MiB"`},
		"journal.group_age: 1h0m0s":               {`group_age = "20ms"`, `"1h"`},
		"journal.queue: 1 octets":                 {`queue = "8MiB"`, `"1B"`},
		"journal.lease: 1ms":                      {`lease = "3s"`, `"1ms"`},
		"journal.url: \"host:4222\"":              {`url = ""`, `"host:4222"`},
		"journal.replicas: 9":                     {`replicas = 3`, `9`},
		"names.max_entries: 1":                    {`max_entries = 262144`, `1`},
		"names.grace: 999h0m0s":                   {`grace = "15m"`, `"999h"`},
		"rollup.traffic.interval: 1.5s":           {`interval = "10s"`, `"1500ms"`},
		"rollup.traffic.max_keys: 0":              {`max_keys = 100000`, `0`},
		"rollup.conversation.interval: 0s":        {`interval = "1m"`, `"0s"`},
		"rollup.conversation.top: -1":             {`top = 10000`, `-1`},
		"store.queue: 1 records":                  {`queue = 500000`, `1`},
		"store.size: 1 octets":                    {`size = "2MiB"`, `"1B"`},
		"store.retry_longest: 1ms":                {`retry_longest = "30s"`, `"1ms"`},
		"store.files.max_age: 1ms":                {`max_age = "1h"`, `"1ms"`},
		"store.files.max_total: 1 octets":         {"max_total = \"10GiB\"", `"1B"`},
		"store.influxdb.database: \"\": want":     {`database = "flows"`, `""`},
		"journal.url: credentials and certificat": {`credentials_file = ""`, `"x"`},
	} {
		key, _, _ := strings.Cut(c.line, " ")
		before, _, found := strings.Cut(etc.CollectorTOML, "\n"+c.line+"\n")
		at := strings.Count(before, "\n") + 2
		if strings.HasPrefix(want, "journal.url: cred") {
			at -= 2 // the line of the key that is to be set
		}
		_, err := load(t, strings.Replace(etc.CollectorTOML, "\n"+c.line+"\n", "\n"+key+" = "+c.value+"\n", 1))
		if err == nil || !found || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), fmt.Sprintf("collector.toml:%d: %s", at, want)) {
			t.Errorf("got %v, want %s in line %d", err, want, at)
		}
	}
}

// Files that the configuration names are looked at by check, not by the start alone, and refused where they are named.
func TestCheckRefusesFilesWhereTheyAreNamed(t *testing.T) {
	const influxdb = "roles = [\"write\"]\n[journal]\nurl = \"nats://127.0.0.1:4222\"\n[store]\nkind = \"influxdb\"\n" +
		"[store.influxdb]\nurl = \"https://127.0.0.1:8086\"\n"
	const sensor = "[[sensor]]\nid = \"a\"\nkey_files = [\"KEY\"]\n"
	for want, text := range map[string]string{
		":8: store.influxdb.token_file: stat /nowhere/token":         influxdb + "token_file = \"/nowhere/token\"\n",
		":9: store.influxdb.password_file: stat /nowhere/password":   influxdb + "username = \"u\"\npassword_file = \"/nowhere/password\"\n",
		":8: store.influxdb.ca_file: open /nowhere/ca":               influxdb + "ca_file = \"/nowhere/ca\"\n",
		":8: store.influxdb.cert_file: client certificate: open /no": influxdb + "cert_file = \"/nowhere/c\"\ncert_key_file = \"/nowhere/k\"\n",
		":4: journal.credentials_file: stat /nowhere/c":              strings.Replace(influxdb, "4222\"\n", "4222\"\ncredentials_file = \"/nowhere/c\"\n", 1),
		":4: journal.ca_file: ":                                      strings.Replace(influxdb, "4222\"\n", "4222\"\nca_file = \"/nowhere/c\"\n", 1),
		":3: sensor[0].key_files: sensor a: key file: open /nowher":  strings.Replace(sensor, "KEY", "/nowhere/key", 1),
		":6: sensor[1].key_files: the same key stands twice":         sensor + strings.Replace(sensor, `"a"`, `"b"`, 1),
		":7: legacy_agent[0].key_files: key file: open /nowhere":     sensor + "[[legacy_agent]]\nid = \"c\"\naddress = \"192.0.2.9\"\nkey_files = [\"/nowhere/key\"]\n",
	} {
		path := write(t, text)
		key := filepath.Join(filepath.Dir(path), "key")
		if err := os.WriteFile(key, []byte("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "KEY", key)), 0o644); err != nil {
			t.Fatal(err)
		}
		err := collector.Check(path, io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), path+want) || strings.Contains(err.Error(), "\n") || daemon.ExitCode(err) != daemon.ExitConfig {
			t.Errorf("got %v, exit status %d\nwant %s", err, daemon.ExitCode(err), want)
		}
	}
	// A key that root can read and the service cannot.
	path := write(t, strings.Replace(sensor, "KEY", "key", 1))
	t.Chdir(filepath.Dir(path))
	if err := os.WriteFile("key", []byte("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chown(".", 0, 12345), os.Chmod(".", 0o750)); err != nil {
			t.Fatal(err)
		}
		if err := collector.Check(path, io.Discard); err == nil || !strings.Contains(err.Error(), ":3: sensor[0].key_files: sensor a: key file key: its group is not that") {
			t.Errorf("got %v", err)
		}
	}
	// What systemd hands to the service alone is none of check's business.
	if err := collector.Check(write(t, influxdb+"token_file = \"influxdb-token\"\n"), io.Discard); err != nil {
		t.Error(err)
	}
}

// A thousand sensors in one file are read at once, not in half a minute: lines are looked for where there is something to say.
func TestManySensorsAreReadAtOnce(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "[[sensor]]\nid = \"s%d\"\nkey_files = [\"/nowhere/%d\"]\nprefixes = []\n", i, i)
	}
	start := time.Now()
	if _, err := load(t, text.String()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
