package influx

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"flowsensor/internal/setting"
)

// session is what a reload replaces: the connections and the credentials they were made with.
type session struct {
	client      *http.Client
	transport   *http.Transport
	credentials credentials
}

func newSession(c Config) (*session, error) {
	cr, err := readCredentials(c)
	if err != nil {
		return nil, err
	}
	secure, err := c.TLS.config()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     secure,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 256,              // as many as there may be writers: each keeps its connection
		IdleConnTimeout:     45 * time.Second, // below the 60 s and more of the usual servers and proxies
		DisableCompression:  true,
	}
	if c.Proxy != "" {
		proxy, err := plainURL("proxy", c.Proxy)
		if err != nil {
			return nil, err
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	return &session{
		transport: t, credentials: cr,
		client: &http.Client{
			Transport: t,
			// A redirect would send the lines and the token where nobody configured them to go.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, setting.KeyError{Key: "ca_file", Err: err}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, setting.Errorf("ca_file", "%s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, setting.Errorf("cert_file", "client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// redirectTarget names where a redirect points, without query or user.
func redirectTarget(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "an unreadable location"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
