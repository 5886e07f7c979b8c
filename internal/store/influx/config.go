package influx

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"flowsensor/internal/store"
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

// Validate names the first value that cannot work, by a store.KeyError. It reads no file.
func (c Config) Validate() error {
	if _, err := c.base(); err != nil {
		return store.KeyError{Key: "url", Err: err}
	}
	if !c.API.valid() {
		return store.KeyErrorf("api", "unknown InfluxDB API %d", uint8(c.API))
	}
	if err := c.validateNames(); err != nil {
		return err
	}
	if err := c.validateSecrets(); err != nil {
		return err
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return store.KeyErrorf("cert_file", "a client certificate needs both its certificate and its key file")
	}
	if c.Proxy != "" {
		if _, err := plainURL("proxy", c.Proxy); err != nil {
			return store.KeyError{Key: "proxy", Err: err}
		}
	}
	if c.Timeout < 0 || c.Timeout > time.Hour {
		return store.KeyErrorf("timeout", "timeout is %s, must be up to 1h", c.Timeout)
	}
	if c.Encoding >= encodings {
		return store.KeyErrorf("compression", "unknown encoding %d", uint8(c.Encoding))
	}
	return nil
}

func (c Config) validateNames() error {
	needed := map[API]map[string]string{
		V1: {"database": c.Database}, V2: {"bucket": c.Bucket}, V3: {"database": c.Database},
	}
	for name, value := range needed[c.API] {
		if value == "" {
			return store.KeyErrorf(keyOf(name), "the %s API needs a %s", c.API, name)
		}
	}
	foreign := map[API]map[string]string{
		V1: {"org": c.Org, "bucket": c.Bucket},
		V2: {"database": c.Database, "retention policy": c.RetentionPolicy},
		V3: {"org": c.Org, "bucket": c.Bucket, "retention policy": c.RetentionPolicy},
	}
	for name, value := range foreign[c.API] {
		if value != "" {
			return store.KeyErrorf(keyOf(name), "the %s API takes no %s", c.API, name)
		}
	}
	if c.CreateDatabase && c.API != V1 {
		return store.KeyErrorf("create_database", "the %s API cannot create a database here; create it with InfluxDB's own tool", c.API)
	}
	return nil
}

// keyOf is a name's key in the configuration file.
func keyOf(name string) string { return strings.ReplaceAll(name, " ", "_") }

func (c Config) validateSecrets() error {
	switch {
	case c.API != V1 && (c.Username != "" || c.PasswordFile != ""):
		return store.KeyErrorf("username", "the %s API takes a token, no user and password", c.API)
	case (c.Username == "") != (c.PasswordFile == ""):
		return store.KeyErrorf("username", "user name and password file go together")
	case c.Username != "" && c.TokenFile != "":
		return store.KeyErrorf("token_file", "either user and password, or a token")
	case strings.ContainsAny(c.Username, ":\r\n"):
		return store.KeyErrorf("username", "a user name may not hold a colon") // HTTP basic authentication, RFC 7617 section 2
	}
	return nil
}

// base is the server's URL, without a trailing slash.
func (c Config) base() (*url.URL, error) { return plainURL("url", c.URL) }

// plainURL refuses what could carry a secret. Its errors do not repeat the text, which may hold one.
func plainURL(what, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot be read as a URL like http://host:8086", what)
	}
	switch {
	case u.User != nil:
		return nil, fmt.Errorf("%s: holds a user or password; these belong in files of their own", what)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s: must begin with http:// or https://", what)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s: names no host", what)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%s: must end with the path; the write API's parameters are added here", what)
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
