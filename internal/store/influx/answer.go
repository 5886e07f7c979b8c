package influx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowsensor/internal/store"
)

// answer is what the server said.
type answer struct {
	status     int
	message    string // of the error, without secrets, bounded; "" where there was none
	location   string // of a redirect
	retryAfter time.Duration
	suspects   []int // indices of the lines that InfluxDB 3 finds at fault
}

func (a answer) String() string {
	text := strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
	if a.message != "" {
		return text + ": " + a.message
	}
	return text
}

// errorBody joins the forms in which the versions tell errors:
//
//	1.x  {"error": "partial write: field type conflict: ... dropped=1"}, for a query {"results": [{"error": ...}]}
//	2.x  {"code": "unprocessable entity", "message": "failure writing points ...: partial write: ... dropped=1"}
//	3.x  {"error": "partial write of line protocol occurred", "data": [{"line_number": 2, "error_message": ...}]}
type errorBody struct {
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
	Results []struct {
		Error string `json:"error"`
	} `json:"results"`
}

type lineFault struct {
	Number  int    `json:"line_number"`
	Message string `json:"error_message"`
}

func newAnswer(resp *http.Response, text []byte, secrets credentials, now time.Time) answer {
	a := answer{status: resp.StatusCode, retryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	if resp.StatusCode/100 == 3 {
		a.location = redirectTarget(resp.Header.Get("Location"))
	}
	if resp.StatusCode == http.StatusNoContent {
		return a
	}
	message, b := string(text), errorBody{}
	if json.Unmarshal(text, &b) == nil {
		faults := b.faults()
		message, a.suspects = b.text(), suspects(faults)
		if len(faults) > 0 {
			message += ": " + faults[0].Message
		}
	}
	a.message = clean(secrets.redact(message))
	return a
}

func (b errorBody) text() string {
	message := b.Error
	if b.Error == "" {
		message = b.Message
	}
	for _, r := range b.Results {
		message += r.Error
	}
	return message
}

// faults reads what InfluxDB 3 says of lines: a list, or one alone where it took none of the others.
func (b errorBody) faults() []lineFault {
	var faults []lineFault
	if json.Unmarshal(b.Data, &faults) == nil {
		return faults
	}
	var fault lineFault
	if json.Unmarshal(b.Data, &fault) == nil {
		return []lineFault{fault}
	}
	return nil
}

func suspects(faults []lineFault) []int {
	var indices []int
	for _, f := range faults {
		if f.Number > 0 {
			indices = append(indices, f.Number-1)
		}
	}
	slices.Sort(indices)
	return slices.Compact(indices)
}

// clean makes foreign text fit for a log line: bounded, one line, printable.
func clean(text string) string {
	const most = 400
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
}

// retryAfter reads both forms of RFC 9110 section 10.2.3; 0 for none and for nonsense.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), 86400)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// judge says what an answer means for a request of that many lines: nil means that all are durable.
func (w *Writer) judge(a answer, lines int) error {
	e := &store.Error{Code: a.status, RetryAfter: a.retryAfter, Err: fmt.Errorf("influxdb answered %s", a)}
	switch s := a.status; {
	case s == http.StatusNoContent:
		return nil
	case s == http.StatusOK && lines == 0: // what 1.x says to a write without lines, in some versions
		return nil
	case s == http.StatusCreated: // InfluxDB Cloud: taken in part
		w.refused(e, a, lines)
	case s == http.StatusRequestEntityTooLarge:
		e.Class = store.TooLarge
	case s == http.StatusBadRequest || s == http.StatusUnprocessableEntity:
		w.refused(e, a, lines)
		e.Doubtful = !aboutLines(a.message)
		if e.Doubtful {
			e.Remedy = "if every write is answered so, the URL, the API version or a name is wrong: " + w.name
		}
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests:
		e.Class = store.Temporary
	case s >= 500 && strings.Contains(a.message, "dropped="): // 2.0: status 500 for a partial write
		w.refused(e, a, lines)
	case s >= 500 && !strings.Contains(a.message, "retention policy not found"): // 1.x: status 500
		e.Class = store.Temporary
	default:
		e.Class, e.Remedy = store.Configuration, w.remedy(a)
	}
	return e
}

func (w *Writer) refused(e *store.Error, a answer, lines int) {
	e.Class, e.Why, e.Lines = store.Refused, why(a.message), dropped(a.message)
	e.Suspects = slices.DeleteFunc(a.suspects, func(i int) bool { return i >= lines })
	e.Lines = max(e.Lines, len(e.Suspects))
}

// aboutLines tells a refusal of lines from a refusal of the request, which has the same status.
func aboutLines(message string) bool {
	for _, mark := range []string{
		"partial write", "unable to parse", "field type conflict", "dropped=", "line protocol", "write_lp", "write buffer error",
	} {
		if strings.Contains(message, mark) {
			return true
		}
	}
	return false
}

func why(message string) store.DeadReason {
	for _, known := range []struct {
		mark string
		why  store.DeadReason
	}{
		{"field type conflict", store.DeadTypeConflict},
		{"invalid column type", store.DeadTypeConflict},
		{"retention policy", store.DeadBeyondRetention},
		{"max-values-per-tag", store.DeadCardinality},
		{"max-series-per-database", store.DeadCardinality},
		{"unable to parse", store.DeadUnparseable},
		{"parse", store.DeadUnparseable},
	} {
		if strings.Contains(message, known.mark) {
			return known.why
		}
	}
	return store.DeadRefused
}

// dropped reads the count that InfluxDB 1.x and 2.x add to a partial write. It is of one shard, so there may be more.
func dropped(message string) int {
	_, text, ok := strings.Cut(message, "dropped=")
	if !ok {
		return 0
	}
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		text = text[:end]
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// remedy says what somebody can do about an answer that repeating does not change.
func (w *Writer) remedy(a answer) string {
	switch {
	case a.status == http.StatusUnauthorized && w.cfg.Username == "" && w.session.Load().credentials.header == "":
		return "the server wants credentials: give a token file, or user name and password file for InfluxDB 1.x"
	case a.status == http.StatusUnauthorized:
		return "the token or password is not accepted: correct its file and reload the service"
	case a.status == http.StatusForbidden:
		return "the credentials lack the right to write to " + w.cfg.target()
	case strings.Contains(a.message, "retention policy not found"):
		return fmt.Sprintf("create it: CREATE RETENTION POLICY %s ON %s ...", identifier(w.cfg.RetentionPolicy), identifier(w.cfg.Database))
	case strings.Contains(a.message, "database not found"), strings.Contains(a.message, "bucket"):
		return "create it: " + w.createStatement()
	case a.status == http.StatusNotFound:
		return fmt.Sprintf("the server has no %s write API at this URL: correct url or api", w.cfg.API)
	case a.status/100 == 3:
		return "the server redirects to " + a.location + ": give the final URL"
	case a.status/100 == 2:
		return "no InfluxDB answers so: correct url"
	default:
		return "the server does not take writes as configured: correct url, api or what stands between"
	}
}

// createStatement is how the operator makes what is missing.
func (w *Writer) createStatement() string {
	switch w.cfg.API {
	case V1:
		return fmt.Sprintf("influx -execute 'CREATE DATABASE %s', or set create_database = true", identifier(w.cfg.Database))
	case V2:
		return fmt.Sprintf("influx bucket create --org %s --name %s", strconv.Quote(w.cfg.Org), strconv.Quote(w.cfg.Bucket))
	case V3:
		return "influxdb3 create database " + strconv.Quote(w.cfg.Database)
	}
	return ""
}

// transportError judges a request that got no answer. The URL is left out of the text: the log names the server already.
func (w *Writer) transportError(s *session, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	e := &store.Error{Class: store.Temporary}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = fmt.Errorf("influxdb gave no answer in %s: %w", w.cfg.Timeout, err)
		return e
	case isCertificateError(err):
		e.Class, e.Remedy = store.Configuration, "correct the certificates: ca_file has to hold the issuer of the server's, and the server's has to name the host of url"
	case isPlainHTTP(err):
		e.Class, e.Remedy = store.Configuration, "the server speaks http at this port: correct url"
	default:
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			e.Remedy = "the host of url is not known to the name service"
		}
	}
	e.Err = redacted{text: s.credentials.redact("influxdb: " + err.Error()), err: err}
	return e
}

func isCertificateError(err error) bool {
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	return verify || authority
}

func isPlainHTTP(err error) bool {
	_, record := errors.AsType[tls.RecordHeaderError](err)
	return record || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// redacted is an error whose text was cleaned of secrets.
type redacted struct {
	text string
	err  error
}

func (r redacted) Error() string { return r.text }

func (r redacted) Unwrap() error { return r.err }
