package export

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHealth: trouble is told when it begins and when it is over, and asks for another address while it lasts, at growing
// intervals.
func TestHealth(t *testing.T) {
	var log bytes.Buffer
	kick := make(chan struct{}, 1)
	h := health{log: slog.New(slog.NewTextHandler(&log, nil)), kick: kick, maxKick: time.Minute}
	start := time.Now()
	var kicks []int
	trouble := func(from, to int, err error) {
		for second := from; second < to; second++ {
			now := start.Add(time.Duration(second) * time.Second)
			if err != nil {
				h.report(err, Endpoints{}, now)
			}
			h.check(now)
			select {
			case <-kick:
				kicks = append(kicks, second)
			default:
			}
		}
	}
	trouble(0, 300, unix.ECONNREFUSED)
	trouble(300, 400, nil)
	trouble(400, 405, errors.New("network is unreachable"))
	trouble(405, 500, nil)

	want := []int{10, 30, 70, 130, 190, 250}
	if len(kicks) != len(want) {
		t.Fatalf("kicks at %v s, want %v", kicks, want)
	}
	for i := range want {
		if kicks[i] != want[i] {
			t.Errorf("kicks at %v s, want %v", kicks, want)
		}
	}
	for text, n := range map[string]int{"nobody listens": 1, "fails": 1, "no more errors": 2, "errors=300": 1, "errors=5 ": 1} {
		if got := strings.Count(log.String(), text); got != n {
			t.Errorf("%q is said %d times, want %d:\n%s", text, got, n, log.String())
		}
	}
}

// TestDropLog: drops are told with their sums, of each reason once a minute, and the rest at the end.
func TestDropLog(t *testing.T) {
	var log bytes.Buffer
	var c counters
	d := dropLog{log: slog.New(slog.NewTextHandler(&log, nil)), counters: &c}
	start := time.Now()
	for second := range 90 {
		c.dropped[QueueFull].add(Amount{Records: 256, Packets: 512, Bytes: 1024})
		d.check(start.Add(time.Duration(second) * time.Second))
	}
	d.last()
	d.last()
	text := log.String()
	if got := strings.Count(text, "reason=queue_full"); got != 3 || strings.Count(text, "\n") != 3 {
		t.Errorf("said %d times, want 3:\n%s", got, text)
	}
	for _, want := range []string{"records=256 ", "records=15360 ", "records=7424 "} { // 1, 60 and 29 batches
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
