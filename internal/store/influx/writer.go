package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"flowsensor/internal/store"
)

// maxAnswer bounds what is read of an answer: InfluxDB 3 names every line at fault.
const maxAnswer = 8 << 20

// Writer sends lines to one database. Safe for concurrent use.
type Writer struct {
	cfg      Config
	base     *url.URL
	endpoint string
	name     string
	now      func() time.Time
	session  atomic.Pointer[session]
	stats    counters
}

var _ store.Writer = (*Writer)(nil)

// Open reads the credentials and certificates; it does not connect.
func Open(cfg Config) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("influxdb: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	base, err := cfg.base()
	if err != nil {
		return nil, fmt.Errorf("influxdb: %w", err)
	}
	cfg.Encoding = cfg.Encoding.to(base.Hostname())
	w := &Writer{
		cfg: cfg, base: base, endpoint: cfg.endpoint(base), now: time.Now,
		name: fmt.Sprintf("influxdb %s at %s, %s", cfg.API, base, cfg.target()),
	}
	if err := w.Reload(); err != nil {
		return nil, err
	}
	return w, nil
}

// Reload reads the credentials and certificates again. On an error the old ones stay in use.
func (w *Writer) Reload() error {
	s, err := newSession(w.cfg)
	if err != nil {
		return fmt.Errorf("influxdb: %w", err)
	}
	if old := w.session.Swap(s); old != nil {
		old.transport.CloseIdleConnections()
	}
	return nil
}

// Close closes the idle connections.
func (w *Writer) Close() error {
	w.session.Load().transport.CloseIdleConnections()
	return nil
}

func (w *Writer) String() string { return w.name }

// Encoding is that of the requests, never Auto.
func (w *Writer) Encoding() Encoding { return w.cfg.Encoding }

// Write sends the lines in one request; see store.Writer.
func (w *Writer) Write(ctx context.Context, lines store.Lines) error {
	body, err := encode(lines.Bytes(), w.cfg.Encoding)
	if err != nil {
		return fmt.Errorf("influxdb: %w", err)
	}
	w.stats.sent(len(lines.Bytes()), len(body))
	return w.send(ctx, body, lines.Len())
}

// Check sends a write without a line: it finds out the server, the credentials and, with InfluxDB 1.x, the database and
// the retention policy.
func (w *Writer) Check(ctx context.Context) error {
	err := w.send(ctx, nil, 0)
	// InfluxDB 2 and 3 call a write without lines a bad request once all else is right.
	if e, ok := errors.AsType[*store.Error](err); ok && e.Class == store.Refused {
		return nil
	}
	return err
}

// send makes one request and judges the answer.
func (w *Writer) send(ctx context.Context, body []byte, lines int) error {
	a, err := w.post(ctx, w.endpoint, body)
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound && w.cfg.CreateDatabase && strings.Contains(a.message, "database not found") {
		if err := w.createDatabase(ctx); err != nil {
			return err
		}
		if a, err = w.post(ctx, w.endpoint, body); err != nil {
			return err
		}
	}
	return w.judge(a, lines)
}

func (w *Writer) createDatabase(ctx context.Context) error {
	u := *w.base
	u.Path += "/query"
	u.RawQuery = url.Values{"q": {`CREATE DATABASE ` + identifier(w.cfg.Database)}}.Encode()
	a, err := w.post(ctx, u.String(), nil)
	if err != nil {
		return err
	}
	// InfluxQL answers 200 for a statement that fails, too.
	if a.status != http.StatusOK || a.message != "" {
		return &store.Error{
			Class: store.Configuration, Code: a.status, Err: fmt.Errorf("create database %q: %s", w.cfg.Database, a),
			Remedy: "create it by hand: " + w.createStatement(),
		}
	}
	return nil
}

// identifier quotes a name for InfluxQL.
func identifier(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

// post sends body and reads the answer. Its errors are of class Temporary, or Configuration where waiting will not help.
func (w *Writer) post(ctx context.Context, endpoint string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	s := w.session.Load()
	req, err := w.request(ctx, endpoint, body, s)
	if err != nil {
		return answer{}, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		w.stats.answered(0)
		return answer{}, w.transportError(s, err)
	}
	defer func() { _ = resp.Body.Close() }()
	w.stats.answered(resp.StatusCode)
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode != http.StatusNoContent {
		return answer{}, w.transportError(s, err)
	}
	return newAnswer(resp, text, s.credentials, w.now()), nil
}

func (w *Writer) request(ctx context.Context, endpoint string, body []byte, s *session) (*http.Request, error) {
	// net/http gives a request with a bytes.Reader its length, and GetBody to send it again.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("influxdb: make request: %w", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	req.Header.Set("User-Agent", "flow-collector")
	req.Header.Set("Accept", "application/json")
	// Writing a line twice is harmless, so a request may go out again when its kept-alive connection turns out closed. The
	// empty value tells net/http without sending the header.
	req.Header["Idempotency-Key"] = []string{}
	if w.cfg.Encoding == Gzip && len(body) > 0 {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if s.credentials.header != "" {
		req.Header.Set("Authorization", s.credentials.header)
	}
	return req, nil
}
