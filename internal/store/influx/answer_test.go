package influx_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
)

func asError(t *testing.T, err error) *store.Error {
	t.Helper()
	e, ok := errors.AsType[*store.Error](err)
	if !ok {
		t.Fatalf("%T is no *store.Error: %v", err, err)
	}
	return e
}

// verdict is what of a store.Error decides what happens next.
type verdict struct {
	Class      store.Class
	Why        store.DeadReason
	Lines      int
	Suspects   []int
	Doubtful   bool
	RetryAfter time.Duration
	Remedy     string // a part of it
}

// TestAnswers: the bodies are those of real servers (1.6.7 and 1.8.3 as seen, 2.x and 3.x as documented).
func TestAnswers(t *testing.T) {
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	refused := func(why store.DeadReason, lines int, suspects ...int) verdict {
		return verdict{Class: store.Refused, Why: why, Lines: lines, Suspects: suspects}
	}
	for name, c := range map[string]struct {
		status     int
		retryAfter string
		body       string
		want       verdict
	}{
		"1.x conflict, nothing told": {400, "", `{"error":"field type conflict"}`, refused(store.DeadTypeConflict, 0)},
		"1.x conflict":               {400, "", `{"error":"partial write: field type conflict: input field \"v\" on measurement \"m\" is type string, already exists as type integer dropped=2"}`, refused(store.DeadTypeConflict, 2)},
		"1.x retention":              {400, "", `{"error":"partial write: points beyond retention policy dropped=3"}`, refused(store.DeadBeyondRetention, 3)},
		"1.x parse":                  {400, "", `{"error":"partial write: unable to parse 'm v= 2': missing field value\nunable to parse 'm 3': invalid field format dropped=0"}`, refused(store.DeadUnparseable, 0)},
		"1.x cardinality":            {400, "", `{"error":"partial write: max-values-per-tag limit exceeded (100000/100000): measurement=\"flow\" tag=\"iface\" value=\"x\" dropped=1"}`, refused(store.DeadCardinality, 1)},
		"1.x no database":            {404, "", `{"error":"database not found: \"flows\""}`, verdict{Class: store.Configuration, Remedy: `CREATE DATABASE "flows"`}},
		"1.x no retention policy":    {500, "", `{"error":"retention policy not found: zz"}`, verdict{Class: store.Configuration, Remedy: "CREATE RETENTION POLICY"}},
		"1.x unauthorized":           {401, "", `{"error":"authorization failed"}`, verdict{Class: store.Configuration, Remedy: "wants credentials"}},
		"1.x timeout":                {500, "", `{"error":"timeout"}`, verdict{Class: store.Temporary}},
		"1.x cluster partial":        {500, "", `{"error":"partial write"}`, verdict{Class: store.Temporary}},
		"1.x broken gzip":            {400, "", `{"error":"unexpected EOF"}`, verdict{Class: store.Refused, Doubtful: true, Remedy: "wrong"}},
		"1.x no write API":           {404, "", "404 page not found\n", verdict{Class: store.Configuration, Remedy: "no v1 write API"}},
		"2.x conflict":               {422, "", `{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"v\" on measurement \"m\" is type string, already exists as type float dropped=1"}`, refused(store.DeadTypeConflict, 1)},
		"2.0 retention":              {500, "", `{"code":"internal error","message":"unexpected error writing points to database: partial write: points beyond retention policy dropped=5"}`, refused(store.DeadBeyondRetention, 5)},
		"2.x parse":                  {400, "", `{"code":"invalid","message":"unable to parse 'm': missing fields"}`, refused(store.DeadUnparseable, 0)},
		"2.x names":                  {400, "", `{"code":"invalid","message":"Org and bucket required"}`, verdict{Class: store.Refused, Doubtful: true, Remedy: "wrong"}},
		"2.x no bucket":              {404, "", `{"code":"not found","message":"bucket \"b\" not found"}`, verdict{Class: store.Configuration, Remedy: "create it"}},
		"2.x forbidden":              {403, "", `{"code":"forbidden","message":"insufficient permissions for write"}`, verdict{Class: store.Configuration, Remedy: "right to write"}},
		"2.x quota":                  {429, "7", `{"code":"too many requests","message":"quota"}`, verdict{Class: store.Temporary, RetryAfter: 7 * time.Second}},
		"2.x unavailable":            {503, at, "", verdict{Class: store.Temporary, RetryAfter: time.Hour}},
		"nonsense to wait for":       {503, "soon", "", verdict{Class: store.Temporary}},
		"negative wait":              {503, "-7", "", verdict{Class: store.Temporary}},
		"endless wait":               {503, "99999999999", "", verdict{Class: store.Temporary, RetryAfter: 24 * time.Hour}},
		"too large":                  {413, "", `{"error":"Request Entity Too Large"}`, verdict{Class: store.TooLarge}},
		"3.x partial":                {400, "", `{"error":"partial write of line protocol occurred","data":[{"original_line":"m v=hi 2","line_number":3,"error_message":"invalid column type for column 'v', expected iox::column_type::field::float, got iox::column_type::field::string"},{"line_number":1,"error_message":"x"},{"line_number":1,"error_message":"x"}]}`, refused(store.DeadTypeConflict, 2, 0, 2)},
		"3.x lines that are not":     {400, "", `{"error":"partial write of line protocol occurred","data":[{"line_number":0},{"line_number":-5},{"line_number":6},{"line_number":900}]}`, refused(store.DeadRefused, 0)},
		"3.x whole":                  {400, "", `{"error":"parsing failed for write_lp endpoint","data":{"original_line":"m v=hi 2","line_number":2,"error_message":"invalid column type"}}`, refused(store.DeadTypeConflict, 1, 1)},
		"3.x write buffer":           {400, "", `{"error":"write buffer error: line protocol parse failed: timestamp out of range"}`, refused(store.DeadUnparseable, 0)},
		"3.x unprocessable":          {422, "", `{"error":"something else"}`, verdict{Class: store.Refused, Doubtful: true, Remedy: "wrong"}},
		"cloud, in part":             {201, "", `{"code":"invalid","message":"partial write has occurred"}`, refused(store.DeadRefused, 0)},
		"a web page":                 {200, "", "<html>Welcome</html>", verdict{Class: store.Configuration, Remedy: "no InfluxDB"}},
		"moved":                      {307, "", "", verdict{Class: store.Configuration, Remedy: "https://elsewhere/write"}},
		"method":                     {405, "", "", verdict{Class: store.Configuration, Remedy: "correct url"}},
		"gateway":                    {502, "", "<html>Bad Gateway</html>", verdict{Class: store.Temporary}},
		"too early":                  {425, "", "", verdict{Class: store.Temporary}},
		"slow request":               {408, "", "", verdict{Class: store.Temporary}},
		"dropped without a number":   {400, "", `{"error":"partial write: x dropped=many"}`, refused(store.DeadRefused, 0)},
		"body that is no object":     {400, "", `["unable to parse"]`, refused(store.DeadUnparseable, 0)},
		"body with other types":      {400, "", `{"error":7,"message":["unable to parse"]}`, refused(store.DeadUnparseable, 0)},
		"binary body":                {500, "", "\x00\xff\x1b[31mred" + strings.Repeat("x", 100_000), verdict{Class: store.Temporary}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.retryAfter != "" {
				w.Header().Set("Retry-After", c.retryAfter)
			}
			if c.status/100 == 3 {
				w.Header().Set("Location", "https://u:p@elsewhere/write?db=x")
			}
			w.WriteHeader(c.status)
			_, _ = fmt.Fprint(w, c.body)
		}))
		w := open(t, v1(server.URL))
		err := w.Write(t.Context(), lines(strings.Repeat("m v=1i 1\n", 5)))
		e := asError(t, err)
		got := verdict{e.Class, e.Why, e.Lines, e.Suspects, e.Doubtful, e.RetryAfter.Round(time.Minute / 10), c.want.Remedy}
		if c.want.RetryAfter%time.Minute != 0 {
			got.RetryAfter = e.RetryAfter
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		if !strings.Contains(e.Remedy, c.want.Remedy) || (c.want.Remedy == "") != (e.Remedy == "") {
			t.Errorf("%s: remedy %q", name, e.Remedy)
		}
		if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x00\x1b") || e.Code != c.status {
			t.Errorf("%s: code %d, error %q", name, e.Code, err)
		}
		if stats := w.Stats(); stats.Answers[c.status/100] != 1 {
			t.Errorf("%s: %+v", name, stats)
		}
		server.Close()
	}
}

// TestCheck: a write without lines tells a wrong configuration and takes a complaint about the missing lines for a good
// sign.
func TestCheck(t *testing.T) {
	for status, wanted := range map[int]store.Class{204: 0, 200: 0, 400: 0, 401: store.Configuration, 404: store.Configuration, 503: store.Temporary} {
		var length int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			length = r.ContentLength
			w.WriteHeader(status)
		}))
		err := open(t, influx.Config{URL: server.URL, API: influx.V2, Bucket: "b"}).Check(t.Context())
		server.Close()
		if wanted == 0 && err != nil || wanted != 0 && asError(t, err).Class != wanted || length != 0 {
			t.Errorf("%d: %v, body of %d", status, err, length)
		}
		err = open(t, v1(server.URL)).Check(t.Context())
		if asError(t, err).Class != store.Temporary {
			t.Errorf("a server that is away: %v", err)
		}
	}
}
