package daemon_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"flowsensor/internal/daemon"
)

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// A user of the machine who opens connections and never finishes a request takes few of the daemon's descriptors, and the page
// is back when they are gone.
func TestPageTakesFewDescriptors(t *testing.T) {
	page, err := daemon.NewPage("127.0.0.1:0", http.NotFoundHandler(), func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- page.Run(ctx) }()
	const many = 300
	before := descriptors(t)
	var greedy []net.Conn
	for range many {
		conn, err := net.Dial("tcp", page.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("GET /healthz HTTP/1.1\r\nX: ")); err != nil {
			t.Fatal(err)
		}
		greedy = append(greedy, conn)
	}
	time.Sleep(200 * time.Millisecond) // all that can be taken has been
	if taken := descriptors(t) - before - many; taken < 1 || taken > 100 {
		t.Errorf("%d connections took %d descriptors of the daemon", many, taken)
	}
	for _, conn := range greedy {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + page.Addr() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Error(resp.Status, err)
	}
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
}
