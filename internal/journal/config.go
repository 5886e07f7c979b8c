package journal

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"flowsensor/internal/setting"
)

// Config says where the journal is and how it is used. The zero value is not usable: start from DefaultConfig.
type Config struct {
	// Dir is the embedded server's, made with mode 0700 when missing; what is damaged or unreadable goes below it. Plaintext
	// flows stand in it.
	Dir string
	// MaxSize bounds what waits in the journal, in octets. It is made use of when the stream is made; the embedded server
	// follows a change.
	MaxSize int64
	// MinFree is what must stay free on the embedded server's file system, in octets: a server that runs out of space has to
	// be started again.
	MinFree int64

	// URL names an external server or cluster, several parted by commas; empty means the embedded server.
	URL string
	// CredentialsFile is the NATS credentials (.creds) for URL.
	CredentialsFile string
	TLS             TLS
	// Replicas of stream and key-value store in a cluster.
	Replicas int

	// Shards is the number of subjects, and of writers that can be active at the same time. A journal with messages that were
	// divided among another number is refused with ErrShards; one of a cluster is not used until they are gone.
	Shards int
	// GroupBytes and GroupAge close a group: one message, one sync.
	GroupBytes int
	GroupAge   time.Duration
	// Queue bounds what Append has taken and JetStream has not acknowledged, in octets, for all shards together.
	Queue int

	// InFlight bounds what a Reader has handed on and what is not settled: records, readings and answers.
	InFlight int
	// LeaseTTL is how long a writer that died keeps its shards. It renews three times as often.
	LeaseTTL time.Duration
	// Window is the length of the windows by which a Reader with a Gatherer gathers, and so many Windows are acknowledged
	// together. 0 means that nothing is gathered.
	Window  time.Duration
	Windows int
	// AckWait is how long JetStream waits for a message that got lost on its way to the writer.
	AckWait time.Duration
}

// TLS is for an external cluster. CAFile replaces the system's certificates; CertFile and KeyFile are the client's.
type TLS struct {
	CAFile, CertFile, KeyFile string
}

// DefaultConfig is the embedded server's, without Dir.
func DefaultConfig() Config {
	return Config{
		MaxSize: 10 << 30, MinFree: 256 << 20, Replicas: 3, Shards: 1, GroupBytes: 256 << 10, GroupAge: 20 * time.Millisecond,
		Queue: 8 << 20, InFlight: 400_000, LeaseTTL: 3 * time.Second, AckWait: 30 * time.Second,
	}
}

// Bounds of Config.
const (
	// MaxShards bounds Config.Shards.
	MaxShards     = 256
	minSize       = 1 << 20
	maxGroupBytes = 512 << 10 // below the usual 1 MiB of a NATS server's max_payload
)

// Validate names the first value that cannot work, by a setting.KeyError.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return setting.Errorf("directory", "must name a directory")
	case c.MaxSize < minSize:
		return setting.Errorf("max_size", "%d octets: want 1 MiB or more", c.MaxSize)
	case c.MinFree < minSize:
		return setting.Errorf("min_free", "%d octets: want 1 MiB or more", c.MinFree)
	case c.Replicas < 1 || c.Replicas > 5:
		return setting.Errorf("replicas", "%d: want 1 to 5", c.Replicas)
	case c.Shards < 1 || c.Shards > MaxShards:
		return setting.Errorf("shards", "%d: want 1 to %d", c.Shards, MaxShards)
	case c.GroupBytes < 1 || c.GroupBytes > maxGroupBytes:
		return setting.Errorf("group_size", "%d octets: want 1 to %d", c.GroupBytes, maxGroupBytes)
	case c.GroupAge < 0 || c.GroupAge > time.Minute:
		return setting.Errorf("group_age", "%s: want 0s to 1m", c.GroupAge)
	case c.Queue/c.Shards < c.GroupBytes+maxEntry:
		return setting.Errorf("queue", "%d octets: want %d or more for each shard", c.Queue, c.GroupBytes+maxEntry)
	case c.InFlight < 1:
		return fmt.Errorf("records in flight is %d, must be positive", c.InFlight)
	case c.Window != 0 && (c.Window < 100*time.Millisecond || c.Window > time.Minute):
		return fmt.Errorf("window is %s, must be 100ms to 1m", c.Window)
	case c.Windows < 0 || c.Windows > 360:
		return fmt.Errorf("windows acknowledged together are %d, must be 0 to 360", c.Windows)
	case c.LeaseTTL < 100*time.Millisecond || c.LeaseTTL > time.Minute:
		return setting.Errorf("lease", "%s: want 100ms to 1m", c.LeaseTTL)
	case c.AckWait < 100*time.Millisecond || c.AckWait > time.Hour:
		return fmt.Errorf("wait for acknowledgement is %s, must be 100ms to 1h", c.AckWait)
	}
	return c.validateURL()
}

func (c Config) validateURL() error {
	if c.URL == "" {
		if c.CredentialsFile != "" || c.TLS != (TLS{}) {
			return setting.Errorf("url", "credentials and certificates are for an external cluster: name it here, or take them out")
		}
		return nil
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return setting.Errorf("cert_file", "cert_file and cert_key_file go together")
	}
	for text := range strings.SplitSeq(c.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		switch {
		case err != nil:
			return setting.Errorf("url", `cannot be read: want such as "nats://10.0.0.1:4222" or "tls://..."`) // its text may hold a password
		case u.User != nil:
			return setting.Errorf("url", "holds a user or a password: put them into a file and name it in credentials_file")
		case u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "":
			return setting.Errorf("url", `%q: want such as "nats://10.0.0.1:4222,nats://10.0.0.2:4222" or "tls://..."`, text)
		}
	}
	return nil
}
