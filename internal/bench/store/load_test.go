package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowsensor/internal/store/influx"
)

// Both write the same lines: as many, and of the same length together.
func TestBothWriteTheSame(t *testing.T) {
	const lines = 12_345
	l, err := newLoad(lines)
	if err != nil {
		t.Fatal(err)
	}
	var gotLines, gotOctets atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil {
			t.Error(err)
		}
		gotLines.Add(int64(bytes.Count(body.Bytes(), []byte("\n"))))
		gotOctets.Add(int64(body.Len()))
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	d := database{url: server.URL, name: "d", dir: t.TempDir()}
	if err := l.post(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if gotLines.Load() != lines {
		t.Errorf("the loader wrote %d lines", gotLines.Load())
	}
	octets := gotOctets.Swap(0)
	gotLines.Store(0)
	if err := l.write(t.Context(), d, influx.Identity); err != nil {
		t.Fatal(err)
	}
	if gotLines.Load() != lines || gotOctets.Load() != octets {
		t.Errorf("the writer wrote %d lines of %d octets, the loader %d", gotLines.Load(), gotOctets.Load(), octets)
	}
}

func TestARefusedBodyIsAnError(t *testing.T) {
	l, err := newLoad(1)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if err := l.post(t.Context(), database{url: server.URL, name: "d"}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	who := []contestant{{name: "bare"}, {name: "ours"}}
	second := func(n float64) result {
		return result{wall: time.Duration(n * float64(time.Second)), cpu: time.Second / 2}
	}
	results := [][]result{{second(1), second(2), second(4)}, {second(2), second(2), second(5)}}
	if err := report(&out, 1000, cores{"0", "1"}, who, results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| bare | 500 | 1.00, 1.00 to 1.00 | 2000 |", "| ours | 500 | 0.80, 0.50 to 1.00 | 2000 |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
