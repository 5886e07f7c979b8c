package influx_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
)

func TestBodyArrives(t *testing.T) {
	for _, encoding := range []influx.Encoding{influx.Gzip, influx.Identity} {
		var got []byte
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := io.Reader(r.Body)
			if r.Header.Get("Content-Encoding") == "gzip" {
				body, _ = gzip.NewReader(r.Body)
			}
			got, _ = io.ReadAll(body)
			w.WriteHeader(http.StatusNoContent)
		}))
		cfg := v1(server.URL)
		cfg.Encoding = encoding
		w := open(t, cfg)
		var sum uint64
		for _, n := range []int{1, 50_000, 7} {
			text := strings.Repeat("flow,iface=eth0 v=1i 1\n", n)
			sum += uint64(len(text))
			if err := w.Write(t.Context(), lines(text)); err != nil || string(got) != text {
				t.Errorf("encoding %d: %v, %d bytes arrived of %d", encoding, err, len(got), len(text))
			}
		}
		stats := w.Stats()
		if stats.BodyBytes != sum || (encoding == influx.Identity) != (stats.SentBytes == sum) || stats.Answers[2] != 3 {
			t.Errorf("encoding %d: %+v", encoding, stats)
		}
		server.Close()
	}
}

// TestHangingServer: no answer within the timeout is temporary, and the end of the context ends the wait at once.
func TestHangingServer(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	cfg := v1(server.URL)
	cfg.Timeout = 50 * time.Millisecond
	e := asError(t, open(t, cfg).Write(t.Context(), lines("m v=1i 1\n")))
	if e.Class != store.Temporary || !errors.Is(e, context.DeadlineExceeded) || !strings.Contains(e.Error(), "50ms") {
		t.Error(e)
	}
	cfg.Timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	began := time.Now()
	if err := open(t, cfg).Write(ctx, lines("m v=1i 1\n")); !errors.Is(err, context.Canceled) || time.Since(began) > 10*time.Second {
		t.Error(err, time.Since(began))
	}
}

// TestEarlyAnswer: a server that answers before it read the body, as for 413, is understood.
func TestEarlyAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	defer server.Close()
	cfg := v1(server.URL)
	cfg.Encoding = influx.Identity
	w := open(t, cfg)
	for range 5 {
		if e := asError(t, w.Write(t.Context(), lines(strings.Repeat("flow v=1i 1\n", 500_000)))); e.Class != store.TooLarge {
			t.Errorf("%s: %v", e.Class, e)
		}
	}
}

// TestClosedConnection: a kept-alive connection that the server closes meanwhile costs no error.
func TestClosedConnection(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	idle := make(chan net.Conn, 100)
	server.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateIdle {
			idle <- c
		}
	}
	server.Start()
	defer server.Close()
	w := open(t, v1(server.URL))
	for range 20 {
		if err := w.Write(t.Context(), lines("m v=1i 1\n")); err != nil {
			t.Error(err)
		}
		_ = (<-idle).Close()
	}
	if n := requests.Load(); n < 20 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the lines went where nobody sent them")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	if e := asError(t, open(t, v1(server.URL)).Write(t.Context(), lines("m v=1i 1\n"))); e.Class != store.Configuration {
		t.Error(e)
	}
}

// TestProxy: the environment is ignored, the configuration is not.
func TestProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	var host string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		w.WriteHeader(http.StatusNoContent)
	}))
	defer proxy.Close()
	cfg := v1("http://db.invalid:8086")
	e := asError(t, open(t, cfg).Write(t.Context(), lines("m v=1i 1\n")))
	if e.Class != store.Temporary || strings.Contains(e.Error(), "127.0.0.1:1:") {
		t.Error(e)
	}
	cfg.Proxy = proxy.URL
	if err := open(t, cfg).Write(t.Context(), lines("m v=1i 1\n")); err != nil || host != "db.invalid:8086" {
		t.Errorf("%v, proxied for %q", err, host)
	}
}

func TestTLS(t *testing.T) {
	var client atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client.Store(len(r.TLS.PeerCertificates))
		w.WriteHeader(http.StatusNoContent)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()

	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair := server.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	cfg := v1(server.URL)
	e := asError(t, open(t, cfg).Write(t.Context(), lines("m v=1i 1\n")))
	if e.Class != store.Configuration || !strings.Contains(e.Remedy, "ca_file") {
		t.Errorf("unknown issuer: %s, %v, %s", e.Class, e, e.Remedy)
	}
	cfg.TLS = influx.TLS{CAFile: cert, CertFile: cert, KeyFile: key}
	if err := open(t, cfg).Write(t.Context(), lines("m v=1i 1\n")); err != nil || client.Load() != 1 {
		t.Errorf("%v, %v client certificates", err, client.Load())
	}
	cfg.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	if e := asError(t, open(t, cfg).Write(t.Context(), lines("m v=1i 1\n"))); e.Class != store.Configuration {
		t.Errorf("a certificate for another host: %s, %v", e.Class, e)
	}
	cfg.URL = strings.Replace(server.URL, "https:", "http:", 1)
	if e := asError(t, open(t, cfg).Write(t.Context(), lines("m v=1i 1\n"))); e.Class == store.Temporary {
		t.Errorf("http to an https port: %s, %v", e.Class, e)
	}

	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	cfg.URL = strings.Replace(plain.URL, "http:", "https:", 1)
	if e := asError(t, open(t, cfg).Write(t.Context(), lines("m v=1i 1\n"))); e.Class != store.Configuration {
		t.Errorf("https to an http port: %s, %v", e.Class, e)
	}
	for _, bad := range []influx.TLS{{CAFile: key}, {CAFile: filepath.Join(dir, "none")}, {CertFile: cert, KeyFile: cert}} {
		cfg.TLS = bad
		if _, err := influx.Open(cfg); err == nil {
			t.Errorf("%+v: opened", bad)
		}
	}
}

// TestManyWriters: the one Writer serves goroutines that write and one that reloads.
func TestManyWriters(t *testing.T) {
	var mu sync.Mutex
	arrived := make(map[string]bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zip, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		text, _ := io.ReadAll(zip)
		mu.Lock()
		arrived[string(text)] = true
		mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	cfg := v1(server.URL)
	cfg.Encoding = influx.Gzip
	w := open(t, cfg)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 25 {
				text := bytes.Repeat([]byte{byte('a' + i)}, 1000+j)
				if err := w.Write(t.Context(), lines(string(text)+" v=1i 1\n")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Go(func() {
		for range 25 {
			if err := w.Reload(); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	if len(arrived) != 200 {
		t.Errorf("%d bodies arrived whole", len(arrived))
	}
}
