package sensor

import (
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/config"
	"flowsensor/internal/export"
	"flowsensor/internal/packet"
	"flowsensor/internal/status"
)

// Config is the sensor's configuration file. The keys are described in etc/sensor.toml, which holds all of them.
type Config struct {
	ID         string            `toml:"id"`
	StateDir   string            `toml:"state_dir"`
	Interfaces []InterfaceConfig `toml:"interface"`
	Capture    CaptureConfig     `toml:"capture"`
	Flows      FlowsConfig       `toml:"flows"`
	DNS        DNSConfig         `toml:"dns"`
	Export     ExportConfig      `toml:"export"`
	HTTP       HTTPConfig        `toml:"http"`
	Status     StatusConfig      `toml:"status"`
	Log        LogConfig         `toml:"log"`
}

// InterfaceConfig is one [[interface]]; zero values take those of [capture].
type InterfaceConfig struct {
	Name    string `toml:"name"`
	Workers int    `toml:"workers"`
	Filter  string `toml:"filter"`
	Routed  bool   `toml:"routed"`
}

// CaptureConfig is [capture].
type CaptureConfig struct {
	Engine       capture.Engine     `toml:"engine"`
	Workers      int                `toml:"workers"`
	CPUs         []int              `toml:"cpus"`
	Fanout       capture.FanoutMode `toml:"fanout"`
	RingSize     config.Size        `toml:"ring_size"`
	BlockSize    config.Size        `toml:"block_size"`
	BlockTimeout config.Duration    `toml:"block_timeout"`
	SnapLength   int                `toml:"snap_length"`
	Promiscuous  bool               `toml:"promiscuous"`
	Filter       string             `toml:"filter"`
	Sample       int                `toml:"sample"`
}

// FlowsConfig is [flows].
type FlowsConfig struct {
	MaxFlows        int             `toml:"max_flows"`
	ActiveTimeout   config.Duration `toml:"active_timeout"`
	InactiveTimeout config.Duration `toml:"inactive_timeout"`
	Linger          config.Duration `toml:"linger"`
	VLANInKey       bool            `toml:"vlan_in_key"`
	MaxFragments    int             `toml:"max_fragments"`
}

// DNSConfig is [dns].
type DNSConfig struct {
	Enabled     bool `toml:"enabled"`
	MaxFailures int  `toml:"max_failures"`
}

// ExportConfig is [export].
type ExportConfig struct {
	Collector     []string        `toml:"collector"`
	KeyFile       string          `toml:"key_file"`
	Delivery      export.Delivery `toml:"delivery"`
	SpoolSize     config.Size     `toml:"spool_size"`
	SpoolDir      string          `toml:"spool_dir"`
	MaxDatagram   int             `toml:"max_datagram"`
	FlushInterval config.Duration `toml:"flush_interval"`
	Queue         int             `toml:"queue"`

	ReportInterval config.Duration `toml:"report_interval"`
}

// HTTPConfig is [http].
type HTTPConfig struct {
	Listen string `toml:"listen"`
}

// StatusConfig is [status].
type StatusConfig struct {
	Socket string `toml:"socket"`
}

// LogConfig is [log].
type LogConfig struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

// DefaultPath is where the packages install the configuration.
const DefaultPath = "/etc/flow-sensor/sensor.toml"

// Defaults is the configuration of an empty file.
func Defaults() Config {
	return Config{
		StateDir: "/var/lib/flow-sensor",
		Capture: CaptureConfig{
			Engine: capture.EngineRing, Workers: 1, CPUs: []int{}, Fanout: capture.FanoutFlow, RingSize: capture.DefaultRingSize,
			BlockSize: capture.DefaultBlockSize, BlockTimeout: config.Duration(capture.DefaultBlockTimeout),
			SnapLength: capture.DefaultSnapLength, Promiscuous: true, Sample: 1,
		},
		Flows: FlowsConfig{
			MaxFlows: 1 << 20, ActiveTimeout: config.Duration(time.Minute), InactiveTimeout: config.Duration(15 * time.Second),
			Linger: config.Duration(2 * time.Second), MaxFragments: packet.DefaultMaxFragments,
		},
		DNS: DNSConfig{MaxFailures: 1000},
		Export: ExportConfig{
			Delivery: export.Acknowledged, SpoolSize: 256 << 20, MaxDatagram: export.DefaultMaxDatagram,
			FlushInterval: config.Duration(time.Second), Queue: 256, ReportInterval: config.Duration(10 * time.Second),
		},
		HTTP:   HTTPConfig{Listen: "127.0.0.1:9997"},
		Status: StatusConfig{Socket: status.Auto},
		Log:    LogConfig{Level: "info", Format: "auto"},
	}
}

// Load reads and validates the file: all refusals at once, each with its line. It reads no key.
func Load(path string) (Config, error) { return load(path, (*Config).validate) }

// loadWithKey also refuses a key that cannot be used, with the line that names its file.
func loadWithKey(path string) (Config, error) {
	return load(path, func(c *Config, doc *config.Document) {
		c.validate(doc)
		c.validateKey(doc)
	})
}

// load leaves to validate which parts must be right.
func load(path string, validate func(*Config, *config.Document)) (Config, error) {
	c := Defaults()
	doc, err := config.Load(path, &c)
	if err != nil {
		return Config{}, err
	}
	validate(&c, doc)
	return c, doc.Err()
}
