package sensor_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"flowsensor/etc"
	"flowsensor/internal/capture"
	"flowsensor/internal/config"
	"flowsensor/internal/sensor"
)

// edited is the shipped configuration with what must be set.
var edited = strings.Replace(etc.SensorTOML, "name = \"\"", "name = \"eth1\"", 1)

// example loads the edited configuration with lines replaced.
func example(t *testing.T, oldnew ...string) (sensor.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sensor.toml")
	text := strings.NewReplacer(oldnew...).Replace(edited)
	if len(oldnew) > 0 && text == edited {
		t.Fatalf("%q is not in the example", oldnew)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return sensor.Load(path)
}

func TestExampleShowsEveryDefault(t *testing.T) {
	got, err := example(t)
	if err != nil {
		t.Fatal(err)
	}
	want := sensor.Defaults()
	want.ID = "sensor-1"
	want.Interfaces = []sensor.InterfaceConfig{{Name: "eth1"}}
	want.Export.Collector = []string{"127.0.0.1:9999"}
	want.Export.KeyFile = "/etc/flow-sensor/keys/sensor-1.key"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example says\n%+v\nthe defaults are\n%+v", got, want)
	}
	var c sensor.Config
	doc, err := config.Parse("sensor.toml", etc.SensorTOML, &c)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range config.Keys(reflect.TypeFor[sensor.Config]()) {
		if !doc.IsDefined(key) {
			t.Errorf("the example lacks %s", key)
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	for name, c := range map[string]struct{ old, line, want string }{
		"id":             {`id = "sensor-1"`, `id = "a b"`, ":6: id: "},
		"no interface":   {"[[interface]]\n", "[unused]\n", "unknown key"},
		"empty name":     {`name = "eth1"`, `name = ""`, "interface[0].name: must name a network interface"},
		"long name":      {`name = "eth1"`, `name = "averyveryverylongname"`, "is no interface name"},
		"twice":          {"\n[capture]\n", "\n[[interface]]\nname = \"eth1\"\n[capture]\n", `interface[1].name: "eth1" is named twice`},
		"workers":        {"\nworkers = 1\n", "\nworkers = -1\n", "capture.workers: -1 is out of range: want 1 to 256"},
		"engine":         {`engine = "ring"`, `engine = "pf_ring"`, "capture.engine"},
		"cpus":           {`cpus = []`, `cpus = [2, -1]`, "capture.cpus: -1 is out of range: want 0 to 1023"},
		"cpus twice":     {`cpus = []`, `cpus = [2, 2]`, "capture.cpus: 2 is named twice"},
		"fanout":         {`fanout = "flow"`, `fanout = "rollover"`, "capture.fanout"},
		"block size":     {`block_size = "64KiB"`, `block_size = "65KiB"`, "capture.block_size: 65KiB: want a power of two"},
		"ring size":      {`ring_size = "64MiB"`, `ring_size = "65KiB"`, "capture.ring_size: 65KiB: want a multiple of block_size"},
		"large ring":     {`ring_size = "64MiB"`, `ring_size = "4GiB"`, "capture.ring_size: 4GiB: want a multiple of block_size (64KiB), two blocks at least and less than 4GiB"},
		"half a ms":      {`block_timeout = "20ms"`, `block_timeout = "1500us"`, "capture.block_timeout: 1.5ms: want whole milliseconds"},
		"short datagram": {`max_datagram = 1472`, `max_datagram = 512`, "export.max_datagram: 512 is out of range: want 577 to 65507"},
		"block timeout":  {`block_timeout = "20ms"`, `block_timeout = "2s"`, "capture.block_timeout: 2s is out of range"},
		"snap":           {`snap_length = 256`, `snap_length = 20`, "capture.snap_length: 20 is out of range"},
		"sample":         {`sample = 1`, `sample = 0`, "capture.sample: 0 is out of range: want 1 to 1000000"},
		"unit":           {`active_timeout = "60s"`, `active_timeout = 60`, `"60" is not a duration`},
		"max flows":      {`max_flows = 1048576`, `max_flows = 3`, "flows.max_flows: 3 is out of range"},
		"failures":       {`max_failures = 1000`, `max_failures = -1`, "dns.max_failures: -1 is out of range"},
		"no collector":   {`collector = ["127.0.0.1:9999"]`, `collector = []`, "export.collector: must name the collector"},
		"two collectors": {`delivery = "acknowledged"`, "delivery = \"fire-and-forget\"\ncollector = [\"a:1\", \"b:1\"]", "collector"},
		"spool":          {`spool_size = "256MiB"`, `spool_size = "1KiB"`, "export.spool_size: 1KiB"},
		"collector port": {`collector = ["127.0.0.1:9999"]`, `collector = ["a:70000"]`, "want \"host:port\" with a port from 1 to 65535"},
		"key file":       {`key_file = "/etc/flow-sensor/keys/sensor-1.key"`, `key_file = ""`, "export.key_file: must name the file"},
		"delivery":       {`delivery = "acknowledged"`, `delivery = "pigeon"`, "export.delivery"},
		"datagram":       {`max_datagram = 1472`, `max_datagram = 70000`, "export.max_datagram: 70000 is out of range"},
		"listen":         {`listen = "127.0.0.1:9997"`, `listen = "9997"`, "http.listen: "},
		"level":          {`level = "info"`, `level = "loud"`, "log.level: \"loud\": want one of"},
	} {
		_, err := example(t, c.old, c.line)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "sensor.toml:") {
			t.Errorf("%s: got %v\nwant %s", name, err, c.want)
		}
	}
}

func TestConfigReportsAllRefusalsAtOnce(t *testing.T) {
	_, err := example(t, `max_flows = 1048576`, `max_flows = 3`, `level = "info"`, `level = "loud"`)
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v", err)
	}
}

// A file that names the engine of the other build is refused where it stands, not when the capture opens.
func TestConfigRefusesAnEngineOfTheOtherBuild(t *testing.T) {
	_, err := example(t, `engine = "ring"`, `engine = "afpacket"`)
	if capture.EngineAFPacket.Available() {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), "capture.engine: \"afpacket\" is not part of this build") {
		t.Errorf("got %v", err)
	}
}
