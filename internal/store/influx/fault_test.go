package influx_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
)

// faulty stands before a real server and spoils requests and answers, by a seeded choice.
type faulty struct {
	forward http.Handler
	mu      sync.Mutex
	rand    *rand.Rand
	healthy bool // from when on it only forwards
	seen    map[string]int
}

func newFaulty(t *testing.T, server *influxtest.Server, seed uint64) (*faulty, string) {
	t.Helper()
	to, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	f := &faulty{
		rand: rand.New(rand.NewPCG(seed, 0)), seen: make(map[string]int),
		forward: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
			Transport: transport,
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
				w.WriteHeader(http.StatusBadGateway)
			},
		},
	}
	proxy := httptest.NewServer(f)
	t.Cleanup(func() {
		proxy.Close()
		transport.CloseIdleConnections()
	})
	return f, proxy.URL
}

// faults by name; what follows an error text is the body of a real server.
var faults = []struct {
	name string
	do   func(f *faulty, w http.ResponseWriter, r *http.Request)
}{
	{"lost answer", func(f *faulty, _ http.ResponseWriter, r *http.Request) {
		f.forward.ServeHTTP(httptest.NewRecorder(), r) // all of it is stored, and nobody hears of it
		panic(http.ErrAbortHandler)
	}},
	{"reset", func(*faulty, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	{"hang", func(_ *faulty, _ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // without this the server does not notice that the client has left
		<-r.Context().Done()
	}},
	{"429", func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "0")
		http.Error(w, `{"code":"too many requests","message":"limit"}`, http.StatusTooManyRequests)
	}},
	{"503", func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	}},
	{"500", func(_ *faulty, w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"timeout"}`, 500) }},
	{"413", func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}},
	{"404", func(_ *faulty, w http.ResponseWriter, _ *http.Request) { http.Error(w, "404 page not found", 404) }},
	{"doubtful", func(_ *faulty, w http.ResponseWriter, _ *http.Request) { http.Error(w, "Bad Request", 400) }},
	{"web page", func(_ *faulty, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }},
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := f.rand.IntN(len(faults) * 2)
	if f.healthy || n >= len(faults) {
		f.seen["none"]++
		f.mu.Unlock()
		f.forward.ServeHTTP(w, r)
		return
	}
	fault := faults[n]
	// A refusal of single lines would be believed, because others are accepted meanwhile; that is another test.
	if fault.name == "doubtful" || fault.name == "413" {
		if r.ContentLength < 2000 {
			fault = faults[0]
		}
	}
	f.seen[fault.name]++
	f.mu.Unlock()
	fault.do(f, w, r)
}

// TestFaults: whatever goes wrong between us and the database, each record is one row in the end.
func TestFaults(t *testing.T) {
	for name, c := range apis {
		t.Run(name, func(t *testing.T) {
			server := influxtest.ForTest(t, c.release, influxtest.Config{})
			createDatabase(t, server)
			f, url := newFaulty(t, server, 7)
			cfg := target(server, c.api)
			cfg.URL, cfg.Timeout = url, 300*time.Millisecond
			pool := poolConfig()
			pool.Lines = 200
			r := newRun(t, pool, cfg)
			batches := newSource("edge-1").batches(400, 20)
			r.submit(t, batches[:200])
			crash(t, server)
			r.submit(t, batches[200:])
			s := r.finish(t, 2*time.Minute)
			if s.Written.Records != 8000 || s.Retries == 0 {
				t.Errorf("%+v\n%s", s, r.log)
			}
			expect(t, server, batches)
			t.Logf("faults %v, %d requests, %d retries, %d splits", f.seen, s.Requests, s.Retries, s.Splits)
		})
	}
}

// crash kills the database and starts it again a little later.
func crash(t *testing.T, server *influxtest.Server) {
	t.Helper()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestLoneBadRequest: a line that makes the server say no more than "bad request" is buried, because others are taken.
func TestLoneBadRequest(t *testing.T) {
	server := influxtest.ForTest(t, influxtest.Debian, influxtest.Config{})
	createDatabase(t, server)
	f, _ := newFaulty(t, server, 1)
	f.healthy = true
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), ",vlan=666i") {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		f.forward.ServeHTTP(w, r)
	}))
	defer guard.Close()
	cfg := target(server, influx.V1)
	cfg.URL, cfg.Encoding = guard.URL, influx.Identity
	pool := poolConfig()
	pool.Writers = 1
	r := newRun(t, pool, cfg)
	batches := newSource("edge-1").batches(10, 20)
	batches[0].Records[0].VLAN = flow.VLANFromTCI(666)
	r.submit(t, batches)
	if s := r.finish(t, time.Minute); s.Written.Records != 199 || s.DeadLettered[store.DeadRefused].Records != 1 {
		t.Errorf("%+v\n%s", s, r.log)
	}
	if text, err := os.ReadFile(r.dead); err != nil || !strings.Contains(string(text), ",vlan=666i") {
		t.Errorf("%s, %v", text, err)
	}
}

// TestV3Partial: the answer of InfluxDB 3 names the lines at fault, so one chunk costs three requests. The fake takes the
// good lines and refuses floats, as the documentation of /api/v3/write_lp has it.
func TestV3Partial(t *testing.T) {
	var mu sync.Mutex
	rows, requests := make(map[string]bool), 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if len(body) == 0 { // of the check
			w.WriteHeader(http.StatusNoContent)
			return
		}
		requests++
		var faults []string
		n := 0
		for line := range strings.Lines(string(body)) {
			n++
			if strings.Contains(line, ",vlan=") {
				faults = append(faults, `{"original_line":"x","line_number":`+itoa(int64(n))+`,"error_message":"invalid column type for column 'vlan'"}`)
				continue
			}
			rows[line] = true
		}
		if faults == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"partial write of line protocol occurred","data":[`+strings.Join(faults, ",")+`]}`)
	}))
	defer server.Close()
	pool := poolConfig()
	pool.Writers, pool.Age = 1, time.Second
	r := newRun(t, pool, influx.Config{URL: server.URL, API: influx.V3, Database: "flows", Encoding: influx.Identity})
	batches := newSource("edge-1").batches(50, 20)
	for i := range 10 {
		batches[i*3].Records[i].VLAN = flow.VLANFromTCI(5)
	}
	r.submit(t, batches)
	s := r.finish(t, time.Minute)
	if s.Written.Records != 990 || s.DeadLettered[store.DeadTypeConflict].Records != 10 || len(rows) != 990 || requests != 3 {
		t.Errorf("%d rows, %d requests, %+v\n%s", len(rows), requests, s, r.log)
	}
}
