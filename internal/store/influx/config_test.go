package influx_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/store/influx"
)

func v1(url string) influx.Config {
	return influx.Config{URL: url, API: influx.V1, Database: "flows"}
}

func TestConfigValidate(t *testing.T) {
	const url = "http://127.0.0.1:8086"
	for name, c := range map[string]influx.Config{
		"v1":        v1(url),
		"v1 all":    {URL: "https://db.example/influx/", API: influx.V1, Database: "d", RetentionPolicy: "r", Username: "u", PasswordFile: "/p", CreateDatabase: true, Proxy: "http://proxy:3128"},
		"v1 token":  {URL: url, API: influx.V1, Database: "d", TokenFile: "/t"},
		"v2":        {URL: url, API: influx.V2, Org: "o", Bucket: "b", TokenFile: "/t", TLS: influx.TLS{CAFile: "/c", CertFile: "/c", KeyFile: "/k"}},
		"v2 of 1.8": {URL: url, API: influx.V2, Bucket: "d/rp"},
		"v3":        {URL: url, API: influx.V3, Database: "d", TokenFile: "/t", Encoding: influx.Identity, Timeout: time.Second},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for part, c := range map[string]influx.Config{
		"must begin with http":      v1("localhost:8086"),
		"names no host":             v1("http://:8086"),
		"must end with the path":    v1(url + "?db=x"),
		"user or password":          v1("http://root:s3cret@127.0.0.1:8086"),
		"cannot be read":            v1("http://s3cret:s3cret:99"),
		"api: 0 is unknown":         {URL: url, Database: "d"},
		"v1 API needs a database":   {URL: url, API: influx.V1},
		"v2 API needs a bucket":     {URL: url, API: influx.V2, Org: "o"},
		"v3 API needs a database":   {URL: url, API: influx.V3},
		"v1 API takes no org":       {URL: url, API: influx.V1, Database: "d", Org: "o"},
		"v2 API takes no database":  {URL: url, API: influx.V2, Bucket: "b", Database: "d"},
		"v3 API takes no retention": {URL: url, API: influx.V3, Database: "d", RetentionPolicy: "r"},
		"cannot create a database":  {URL: url, API: influx.V3, Database: "d", CreateDatabase: true},
		"takes a token":             {URL: url, API: influx.V2, Bucket: "b", Username: "u", PasswordFile: "/p"},
		"go together":               {URL: url, API: influx.V1, Database: "d", Username: "u"},
		"either":                    {URL: url, API: influx.V1, Database: "d", Username: "u", PasswordFile: "/p", TokenFile: "/t"},
		"colon":                     {URL: url, API: influx.V1, Database: "d", Username: "u:v", PasswordFile: "/p"},
		"client certificate":        {URL: url, API: influx.V1, Database: "d", TLS: influx.TLS{CertFile: "/c"}},
		"proxy: holds a user":       {URL: url, API: influx.V1, Database: "d", Proxy: "http://u:s3cret@proxy"},
		"timeout":                   {URL: url, API: influx.V1, Database: "d", Timeout: -1},
		"compression: 9 is unknown": {URL: url, API: influx.V1, Database: "d", Encoding: 9},
	} {
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", part, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error repeats a secret: %v", part, err)
		}
	}
}

func TestAPIText(t *testing.T) {
	var a influx.API
	for _, want := range []influx.API{influx.V1, influx.V2, influx.V3} {
		if err := a.UnmarshalText([]byte(want.String())); err != nil || a != want {
			t.Errorf("%s became %s, %v", want, a, err)
		}
	}
	if err := a.UnmarshalText([]byte("v4")); err == nil {
		t.Error("v4 is known")
	}
}

// TestRequest looks at what each API gets.
func TestRequest(t *testing.T) {
	for name, c := range map[string]struct {
		cfg           influx.Config
		path          string
		authorization string
	}{
		"v1": {
			influx.Config{API: influx.V1, Database: "my flows", RetentionPolicy: "a&b", Username: "root", PasswordFile: secret(t, "p:w ü"[:4]+"\n")},
			"/write?db=my+flows&precision=ns&rp=a%26b", "Basic cm9vdDpwOnc=",
		},
		"v1 open":  {influx.Config{API: influx.V1, Database: "d"}, "/write?db=d&precision=ns", ""},
		"v1 token": {influx.Config{API: influx.V1, Database: "d", TokenFile: secret(t, "u:p")}, "/write?db=d&precision=ns", "Token u:p"},
		"v2": {
			influx.Config{API: influx.V2, Org: "my org", Bucket: "b/rp", TokenFile: secret(t, " tok==\n")},
			"/api/v2/write?bucket=b%2Frp&org=my+org&precision=ns", "Token tok==",
		},
		"v2 empty token": {influx.Config{API: influx.V2, Bucket: "b", TokenFile: secret(t, "\n")}, "/api/v2/write?bucket=b&org=&precision=ns", ""},
		"v3": {
			influx.Config{API: influx.V3, Database: "d", TokenFile: secret(t, "apiv3_x")},
			"/api/v3/write_lp?accept_partial=true&db=d&no_sync=false&precision=nanosecond", "Bearer apiv3_x",
		},
	} {
		var got *http.Request
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r
			w.WriteHeader(http.StatusNoContent)
		}))
		for _, prefix := range []string{"", "/behind/a/proxy"} {
			c.cfg.URL, c.cfg.Encoding = server.URL+prefix+"/", influx.Gzip
			w := open(t, c.cfg)
			if err := w.Write(t.Context(), lines("m v=1i 1\n")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got.RequestURI != prefix+c.path || got.Method != http.MethodPost {
				t.Errorf("%s: %s %s", name, got.Method, got.RequestURI)
			}
			if a := got.Header.Get("Authorization"); a != c.authorization {
				t.Errorf("%s: Authorization %q", name, a)
			}
			if _, sent := got.Header["Idempotency-Key"]; sent || got.Header.Get("Content-Encoding") != "gzip" || got.ContentLength <= 0 {
				t.Errorf("%s: %v, length %d", name, got.Header, got.ContentLength)
			}
		}
		server.Close()
	}
}

// What is left open is packed for the network, and not for this machine.
func TestEncodingByItself(t *testing.T) {
	for host, packed := range map[string]bool{"127.0.0.1": false, "127.9.9.9": false, "[::1]": false, "localhost": false, "192.0.2.1": true, "influx.example": true, "localhost.example": true} {
		for _, c := range []struct {
			encoding influx.Encoding
			packed   bool
		}{{influx.Auto, packed}, {influx.Gzip, true}, {influx.Identity, false}} {
			w, err := influx.Open(influx.Config{URL: "http://" + host + ":8086", API: influx.V1, Database: "d", Encoding: c.encoding})
			if err != nil {
				t.Fatal(err)
			}
			if got := w.Encoding() == influx.Gzip; got != c.packed {
				t.Errorf("%s with compression %s: packed %v", host, c.encoding, got)
			}
		}
	}
	var e influx.Encoding
	if err := e.UnmarshalText([]byte("zip")); err == nil {
		t.Error("zip is taken")
	}
	for _, name := range []string{"auto", "gzip", "none"} {
		if err := e.UnmarshalText([]byte(name)); err != nil || e.String() != name {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}
