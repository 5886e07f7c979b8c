package collector

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/enrich"
	"flowsensor/internal/ingest"
	"flowsensor/internal/journal"
	"flowsensor/internal/names"
	"flowsensor/internal/seal"
	"flowsensor/internal/status"
	"flowsensor/internal/store"
	"flowsensor/internal/store/files"
	"flowsensor/internal/store/influx"
)

// Config is the collector's configuration file. The keys are described in etc/collector.toml, which holds all of them.
type Config struct {
	ID       string         `toml:"id"`
	StateDir string         `toml:"state_dir"`
	Roles    []string       `toml:"roles"`
	Sensors  []SensorConfig `toml:"sensor"`
	Ingest   IngestConfig   `toml:"ingest"`
	Journal  JournalConfig  `toml:"journal"`
	Names    NamesConfig    `toml:"names"`
	Dnstap   DnstapConfig   `toml:"dnstap"`
	Enrich   EnrichConfig   `toml:"enrich"`
	Store    StoreConfig    `toml:"store"`
	HTTP     HTTPConfig     `toml:"http"`
	Status   StatusConfig   `toml:"status"`
	Log      LogConfig      `toml:"log"`

	ReportInterval config.Duration `toml:"report_interval"`

	ServicePorts []int               `toml:"service_ports"`
	Networks     []NetworkConfig     `toml:"network"`
	RoleRules    []RoleConfig        `toml:"role"`
	LegacyAgents []LegacyAgentConfig `toml:"legacy_agent"`
	Rollup       RollupConfig        `toml:"rollup"`
}

// SensorConfig is one [[sensor]].
type SensorConfig struct {
	ID       string   `toml:"id"`
	KeyFiles []string `toml:"key_files"`
	Prefixes []string `toml:"prefixes"`
}

// IngestConfig is [ingest].
type IngestConfig struct {
	Listen        []string        `toml:"listen"`
	Processors    int             `toml:"processors"`
	ReceiveBuffer config.Size     `toml:"receive_buffer"`
	TTL           config.Duration `toml:"ttl"`
	Skew          config.Duration `toml:"skew"`
}

// JournalConfig is [journal].
type JournalConfig struct {
	Directory       string          `toml:"directory"`
	MaxSize         config.Size     `toml:"max_size"`
	MinFree         config.Size     `toml:"min_free"`
	Shards          int             `toml:"shards"`
	GroupSize       config.Size     `toml:"group_size"`
	GroupAge        config.Duration `toml:"group_age"`
	Queue           config.Size     `toml:"queue"`
	Lease           config.Duration `toml:"lease"`
	URL             string          `toml:"url"`
	Replicas        int             `toml:"replicas"`
	CredentialsFile string          `toml:"credentials_file"`
	CAFile          string          `toml:"ca_file"`
	CertFile        string          `toml:"cert_file"`
	CertKeyFile     string          `toml:"cert_key_file"`
}

// NamesConfig is [names].
type NamesConfig struct {
	MaxEntries    int             `toml:"max_entries"`
	MaxPerClient  int             `toml:"max_per_client"`
	Grace         config.Duration `toml:"grace"`
	AcrossSensors bool            `toml:"across_sensors"`
}

// DnstapConfig is [dnstap].
type DnstapConfig struct {
	Listen      string `toml:"listen"`
	MaxFailures int    `toml:"max_failures"`
}

// StoreConfig is [store] with its tables.
type StoreConfig struct {
	Kind         string          `toml:"kind"`
	Writers      int             `toml:"writers"`
	Queue        int             `toml:"queue"`
	Lines        int             `toml:"lines"`
	Size         config.Size     `toml:"size"`
	Age          config.Duration `toml:"age"`
	RetryFirst   config.Duration `toml:"retry_first"`
	RetryLongest config.Duration `toml:"retry_longest"`

	Files       FilesConfig       `toml:"files"`
	InfluxDB    InfluxConfig      `toml:"influxdb"`
	DeadLetters DeadLettersConfig `toml:"dead_letters"`
}

// FilesConfig is [store.files].
type FilesConfig struct {
	Directory   string          `toml:"directory"`
	MaxSize     config.Size     `toml:"max_size"`
	MaxAge      config.Duration `toml:"max_age"`
	MaxTotal    config.Size     `toml:"max_total"`
	Compression string          `toml:"compression"`
}

// InfluxConfig is [store.influxdb].
type InfluxConfig struct {
	URL             string          `toml:"url"`
	API             influx.API      `toml:"api"`
	Database        string          `toml:"database"`
	RetentionPolicy string          `toml:"retention_policy"`
	CreateDatabase  bool            `toml:"create_database"`
	Org             string          `toml:"org"`
	Bucket          string          `toml:"bucket"`
	Username        string          `toml:"username"`
	PasswordFile    string          `toml:"password_file"`
	TokenFile       string          `toml:"token_file"`
	CAFile          string          `toml:"ca_file"`
	CertFile        string          `toml:"cert_file"`
	CertKeyFile     string          `toml:"cert_key_file"`
	Proxy           string          `toml:"proxy"`
	Compression     influx.Encoding `toml:"compression"`
	Timeout         config.Duration `toml:"timeout"`
}

// DeadLettersConfig is [store.dead_letters].
type DeadLettersConfig struct {
	Path    string      `toml:"path"`
	MaxSize config.Size `toml:"max_size"`
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
const DefaultPath = "/etc/flow-collector/collector.toml"

// Kinds of store.
const (
	kindFiles  = "files"
	kindInflux = "influxdb"
)

// Roles of a process.
const (
	roleIngest = "ingest"
	roleWrite  = "write"
)

// Defaults is the configuration of an empty file, but for paths below state_dir, which Load fills in.
func Defaults() Config {
	pool, lines, kept, book := store.DefaultConfig(), files.DefaultConfig(), journal.DefaultConfig(), names.DefaultConfig()
	return Config{
		StateDir: "/var/lib/flow-collector", Roles: []string{roleIngest, roleWrite}, ServicePorts: defaultServicePorts(),
		Ingest: IngestConfig{
			Listen: []string{"0.0.0.0:9999", "[::]:9999"}, ReceiveBuffer: ingest.DefaultReceiveBuffer,
			TTL: config.Duration(seal.DefaultTTL), Skew: config.Duration(seal.DefaultSkew),
		},
		Journal: JournalConfig{
			MaxSize: config.Size(kept.MaxSize), MinFree: config.Size(kept.MinFree), Shards: kept.Shards,
			GroupSize: config.Size(kept.GroupBytes), GroupAge: config.Duration(kept.GroupAge), Queue: config.Size(kept.Queue),
			Lease: config.Duration(kept.LeaseTTL), Replicas: kept.Replicas,
		},
		Names:  NamesConfig{MaxEntries: book.MaxEntries, MaxPerClient: book.MaxPerClient, Grace: config.Duration(book.Grace)},
		Dnstap: DnstapConfig{MaxFailures: 1000},
		Enrich: EnrichConfig{ReloadInterval: config.Duration(enrich.DefaultInterval)},
		Store: StoreConfig{
			Kind: kindFiles, Writers: pool.Writers, Queue: pool.Queue, Lines: pool.Lines, Size: config.Size(pool.Bytes),
			Age: config.Duration(pool.Age), RetryFirst: config.Duration(pool.RetryInitial), RetryLongest: config.Duration(pool.RetryMax),
			Files: FilesConfig{
				MaxSize: config.Size(lines.MaxSize), MaxAge: config.Duration(lines.MaxAge), MaxTotal: config.Size(lines.MaxTotal),
				Compression: "none",
			},
			InfluxDB:    InfluxConfig{API: influx.V1, Database: lines.Database, Timeout: config.Duration(influx.DefaultTimeout)},
			DeadLetters: DeadLettersConfig{MaxSize: store.DefaultDeadLetterSize},
		},
		Rollup: defaultRollup(),
		HTTP:   HTTPConfig{Listen: "127.0.0.1:9998"},
		Status: StatusConfig{Socket: status.Auto},
		Log:    LogConfig{Level: "info", Format: "auto"},

		ReportInterval: config.Duration(10 * time.Second),
	}
}

// Load reads and validates the file with its drop-in folder: all refusals at once, each with its file and line. It reads
// no key.
func Load(path string) (Config, error) {
	return load(path, func(_ *Config, all sources) { all.validate() })
}

// loadWithKeys also refuses files of keys, secrets and certificates that cannot be used, each with the line that names it.
func loadWithKeys(path string, read keyReader) (Config, error) {
	return load(path, func(c *Config, all sources) {
		all.validate()
		all.validateKeys(read)
		c.validateAgentKeys(all[0].doc, read)
		c.validateFiles(all[0].doc)
	})
}

func load(path string, validate func(*Config, sources)) (Config, error) {
	c := Defaults()
	doc, err := config.Load(path, &c)
	if err != nil {
		return Config{}, err
	}
	sources, err := withDropins(path, doc, c.Sensors)
	if err != nil {
		return Config{}, err
	}
	c.Sensors = sources.sensors()
	if c.Journal.Directory == "" {
		c.Journal.Directory = filepath.Join(c.StateDir, "journal")
	}
	if c.Store.Files.Directory == "" {
		c.Store.Files.Directory = filepath.Join(c.StateDir, "lines")
	}
	if c.Store.DeadLetters.Path == "" {
		c.Store.DeadLetters.Path = filepath.Join(c.StateDir, "dead-letters.lp")
	}
	c.validate(doc)
	validate(&c, sources)
	return c, sources.Err()
}

// validateFiles reads what else the process needs of files that the configuration itself names. A credential that systemd hands to
// the service alone is left to the start.
func (c *Config) validateFiles(doc *config.Document) {
	if doc.Err() != nil {
		return // which files are needed is what was refused, perhaps
	}
	doc.Check("journal", c.journal().CheckFiles())
	if !c.writes() || c.Store.Kind != kindInflux {
		return
	}
	db := c.Store.InfluxDB
	if outside := os.Getenv("CREDENTIALS_DIRECTORY") == ""; outside && isCredential(db.TokenFile) {
		db.TokenFile = ""
	} else if outside && isCredential(db.PasswordFile) {
		db.Username = ""
	}
	doc.Check("store.influxdb", db.influx().CheckFiles())
}

// ingests and writes say what the process does.
func (c *Config) ingests() bool { return slices.Contains(c.Roles, roleIngest) }

func (c *Config) writes() bool { return slices.Contains(c.Roles, roleWrite) }

// journal gives the journal's configuration. What its reader hands on fits into the store's queue.
func (c *Config) journal() journal.Config {
	k, jc := c.Journal, journal.DefaultConfig()
	jc.Dir, jc.MaxSize, jc.MinFree = k.Directory, int64(k.MaxSize), int64(k.MinFree)
	jc.Shards, jc.GroupBytes, jc.GroupAge, jc.Queue = k.Shards, k.GroupSize.Int(), k.GroupAge.D(), k.Queue.Int()
	jc.LeaseTTL, jc.URL, jc.Replicas, jc.CredentialsFile = k.Lease.D(), k.URL, k.Replicas, k.CredentialsFile
	jc.TLS = journal.TLS{CAFile: k.CAFile, CertFile: k.CertFile, KeyFile: k.CertKeyFile}
	jc.InFlight = c.Store.Queue
	jc.Window, jc.Windows = window, c.Rollup.windows()
	return jc
}

func (c *NamesConfig) names() names.Config {
	return names.Config{MaxEntries: c.MaxEntries, MaxPerClient: c.MaxPerClient, Grace: c.Grace.D()}
}

// pool gives the pool's bounds.
func (c *StoreConfig) pool() store.Config {
	return store.Config{
		Writers: c.Writers, Queue: c.Queue, Lines: c.Lines, Bytes: c.Size.Int(), Age: c.Age.D(),
		RetryInitial: c.RetryFirst.D(), RetryMax: c.RetryLongest.D(), Longest: c.longestWrite(),
	}
}

// longestWrite is more than a write can take that ends at all: two requests where the database is made, or a slow disk.
func (c *StoreConfig) longestWrite() time.Duration {
	if c.Kind == kindInflux {
		return 2*c.InfluxDB.Timeout.D() + 10*time.Second
	}
	return time.Minute
}

func (c *StoreConfig) files() files.Config {
	fc := files.Config{
		Dir: c.Files.Directory, MaxSize: int64(c.Files.MaxSize), MaxAge: c.Files.MaxAge.D(), MaxTotal: int64(c.Files.MaxTotal),
		Database: c.InfluxDB.Database,
	}
	if c.Files.Compression == "gzip" {
		fc.Compression = files.Gzip
	}
	return fc
}

// credential finds a secret's file: by a name without a slash it is one that systemd hands to the service (systemd.exec(5),
// LoadCredential=), where there are any.
func credential(path string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || !isCredential(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func isCredential(path string) bool { return path != "" && !strings.ContainsRune(path, '/') }

func (c *InfluxConfig) influx() influx.Config {
	database := c.Database
	if c.API == influx.V2 {
		database = "" // it has a default, so that its presence means nothing
	}
	return influx.Config{
		URL: c.URL, API: c.API, Database: database, RetentionPolicy: c.RetentionPolicy, CreateDatabase: c.CreateDatabase,
		Org: c.Org, Bucket: c.Bucket, Username: c.Username, PasswordFile: credential(c.PasswordFile), TokenFile: credential(c.TokenFile),
		TLS: influx.TLS{CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.CertKeyFile}, Proxy: c.Proxy, Encoding: c.Compression, Timeout: c.Timeout.D(),
	}
}

// stopTimeout bounds the end: what the sockets hold is in the journal by then, and what is in the journal is written or
// stays there.
const (
	stopTimeout  = 20 * time.Second
	writeTimeout = 12 * time.Second // for what the journal holds
)
