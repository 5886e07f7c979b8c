package influx

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"flowsensor/internal/setting"
)

// API is a version of InfluxDB's write API.
type API uint8

// The write APIs.
const (
	V1 API = iota + 1
	V2
	V3
)

func (a API) String() string {
	if a.valid() {
		return fmt.Sprintf("v%d", uint8(a))
	}
	return fmt.Sprintf("API(%d)", uint8(a))
}

func (a API) valid() bool { return a >= V1 && a <= V3 }

// UnmarshalText reads "v1", "v2" or "v3".
func (a *API) UnmarshalText(text []byte) error {
	for _, known := range []API{V1, V2, V3} {
		if string(text) == known.String() {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("unknown InfluxDB API %q, expected v1, v2 or v3", text)
}

// MarshalText writes what UnmarshalText reads.
func (a API) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Encoding is the Content-Encoding of request bodies.
type Encoding uint8

// The encodings. The zero value is the default.
const (
	// Auto is Identity to a server on this machine, where a network costs nothing and both sides pay for the packing, and
	// Gzip to others.
	Auto Encoding = iota
	Gzip
	Identity
	encodings
)

var encodingNames = [encodings]string{"auto", "gzip", "none"}

func (e Encoding) String() string {
	if e < encodings {
		return encodingNames[e]
	}
	return fmt.Sprintf("Encoding(%d)", uint8(e))
}

// UnmarshalText reads "auto", "gzip" or "none".
func (e *Encoding) UnmarshalText(text []byte) error {
	i := slices.Index(encodingNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown compression %q, expected auto, gzip or none", text)
	}
	*e = Encoding(i)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (e Encoding) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// to decides what Auto leaves open.
func (e Encoding) to(host string) Encoding {
	if e != Auto {
		return e
	}
	if addr, err := netip.ParseAddr(host); host == "localhost" || err == nil && addr.IsLoopback() {
		return Identity
	}
	return Gzip
}

// TLS is what differs from the system's defaults for https.
type TLS struct {
	// CAFile holds the PEM certificates that are trusted, instead of the system's.
	CAFile string
	// CertFile and KeyFile are the PEM client certificate, both or none.
	CertFile, KeyFile string
}

// Config says where to write and how. URL and API must be set, and the names that the API takes.
type Config struct {
	// URL of the server, http or https, with a path where a reverse proxy puts InfluxDB below one. No user, no query.
	URL string
	API API

	Database        string // v1 and v3
	RetentionPolicy string // v1; "" is the database's default
	Org, Bucket     string // v2; Org may be empty for InfluxDB 1.8

	Username     string // v1
	PasswordFile string // v1, with Username
	TokenFile    string // v2, v3, and v1 where the server takes tokens; an empty file is no token

	TLS      TLS
	Proxy    string // URL of an HTTP proxy; "" is none, whatever the environment says
	Encoding Encoding
	Timeout  time.Duration // of one request, DefaultTimeout when 0

	// CreateDatabase has the database made where a v1 server does not know it, which needs the right to.
	CreateDatabase bool
}

// DefaultTimeout is longer than a busy server needs for a chunk. A shorter one makes a slow server slower, because it gets
// the same lines again.
const DefaultTimeout = 30 * time.Second

// Validate names the first value that cannot work, by a setting.KeyError. It reads no file.
func (c Config) Validate() error {
	if _, err := c.base(); err != nil {
		return err
	}
	if !c.API.valid() {
		return setting.Errorf("api", "%d is unknown", uint8(c.API))
	}
	if err := c.validateNames(); err != nil {
		return err
	}
	if err := c.validateSecrets(); err != nil {
		return err
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return setting.Errorf("cert_file", "a client certificate needs both its certificate and its key file")
	}
	if c.Proxy != "" {
		if _, err := plainURL("proxy", c.Proxy); err != nil {
			return err
		}
	}
	if c.Timeout < 0 || c.Timeout > time.Hour {
		return setting.Errorf("timeout", "%s: want 1h at most", c.Timeout)
	}
	if c.Encoding >= encodings {
		return setting.Errorf("compression", "%d is unknown", uint8(c.Encoding))
	}
	return nil
}

// CheckFiles reads the files of secrets and certificates, and names the first that cannot be used, by a setting.KeyError. c is
// one that Validate has no word against.
func (c Config) CheckFiles() error {
	if _, err := readCredentials(c); err != nil {
		return err
	}
	_, err := c.TLS.config()
	return err
}

func (c Config) validateNames() error {
	needed := map[API]map[string]string{
		V1: {"database": c.Database}, V2: {"bucket": c.Bucket}, V3: {"database": c.Database},
	}
	for name, value := range needed[c.API] {
		if value == "" {
			return setting.Errorf(keyOf(name), "the %s API needs a %s", c.API, name)
		}
	}
	foreign := map[API]map[string]string{
		V1: {"org": c.Org, "bucket": c.Bucket},
		V2: {"database": c.Database, "retention policy": c.RetentionPolicy},
		V3: {"org": c.Org, "bucket": c.Bucket, "retention policy": c.RetentionPolicy},
	}
	for name, value := range foreign[c.API] {
		if value != "" {
			return setting.Errorf(keyOf(name), "the %s API takes no %s", c.API, name)
		}
	}
	if c.CreateDatabase && c.API != V1 {
		return setting.Errorf("create_database", "the %s API cannot create a database here; create it with InfluxDB's own tool", c.API)
	}
	return nil
}

// keyOf is a name's key in the configuration file.
func keyOf(name string) string { return strings.ReplaceAll(name, " ", "_") }

func (c Config) validateSecrets() error {
	switch {
	case c.API != V1 && (c.Username != "" || c.PasswordFile != ""):
		return setting.Errorf("username", "the %s API takes a token, no user and password", c.API)
	case (c.Username == "") != (c.PasswordFile == ""):
		return setting.Errorf("username", "user name and password file go together")
	case c.Username != "" && c.TokenFile != "":
		return setting.Errorf("token_file", "either user and password, or a token")
	case strings.ContainsAny(c.Username, ":\r\n"):
		return setting.Errorf("username", "a user name may not hold a colon") // HTTP basic authentication, RFC 7617 section 2
	}
	return nil
}

// base is the server's URL, without a trailing slash.
func (c Config) base() (*url.URL, error) { return plainURL("url", c.URL) }

// plainURL parses the value of a key, and refuses what could carry a secret. Its errors do not repeat the text, which may hold one.
func plainURL(key, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, setting.Errorf(key, "cannot be read as a URL like http://host:8086")
	}
	switch {
	case text == "":
		return nil, setting.Errorf(key, "must name the server, such as http://127.0.0.1:8086")
	case u.User != nil:
		return nil, setting.Errorf(key, "holds a user or password; these belong in files of their own")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, setting.Errorf(key, "must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, setting.Errorf(key, "names no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, setting.Errorf(key, "must end with the path; the write API's parameters are added here")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

// endpoint is the URL of the write API.
func (c Config) endpoint(base *url.URL) string {
	u, q := *base, url.Values{}
	switch c.API {
	case V1:
		u.Path += "/write"
		q.Set("db", c.Database)
		if c.RetentionPolicy != "" {
			q.Set("rp", c.RetentionPolicy)
		}
		q.Set("precision", "ns")
	case V2:
		u.Path += "/api/v2/write"
		q.Set("org", c.Org)
		q.Set("bucket", c.Bucket)
		q.Set("precision", "ns")
	case V3:
		u.Path += "/api/v3/write_lp"
		q.Set("db", c.Database)
		q.Set("precision", "nanosecond")
		q.Set("accept_partial", "true") // the answer then names the lines at fault
		q.Set("no_sync", "false")       // answer when durable
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// target names the place in the words of the API, for messages.
func (c Config) target() string {
	switch {
	case c.API == V2 && c.Org != "":
		return fmt.Sprintf("bucket %q of organisation %q", c.Bucket, c.Org)
	case c.API == V2:
		return fmt.Sprintf("bucket %q", c.Bucket)
	case c.RetentionPolicy != "":
		return fmt.Sprintf("database %q, retention policy %q", c.Database, c.RetentionPolicy)
	default:
		return fmt.Sprintf("database %q", c.Database)
	}
}
