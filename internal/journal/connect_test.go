package journal_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"flowsensor/internal/journal"
)

// A cluster that refuses us at first, because somebody has to mend its accounts or our credentials, is used as soon as it
// does not any more; until then the log says what it answered.
func TestClusterRefusesLogin(t *testing.T) {
	o := &server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true,
		Username: "somebody", Password: "else",
	}
	refusing := startServer(t, o)
	c := config(t)
	c.URL, c.Replicas = refusing.ClientURL(), 1
	var log lockedBuffer
	j, err := journal.Open(c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeJournal(t, j)
	await(t, "the reason in the log", func() bool { return strings.Contains(log.String(), "Authorization Violation") })

	await(t, "several refusals", func() bool {
		v, err := refusing.Varz(nil)
		return err == nil && v.TotalConnections > 4
	})

	o.Port = portOf(refusing)
	refusing.Shutdown()
	refusing.WaitForShutdown()
	o.Username, o.Password = "", ""
	startServer(t, o)
	await(t, "the journal", func() bool { return j.Stats().Up })
}

// startServer starts a NATS server that lives until the test ends, at the latest.
func startServer(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o.Clone())
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	await(t, "the server", s.JetStreamEnabled)
	return s
}

func portOf(s *server.Server) int { return s.Addr().(*net.TCPAddr).Port }

// lockedBuffer takes a log that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A collector that never reached its cluster ends at once when it is told to.
func TestEndBeforeTheClusterWasReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.URL = "nats://" + l.Addr().String()
	_ = l.Close() // nobody listens there
	j := open(t, c)
	defer closeJournal(t, j)
	a, r := appendTo(t, j), readInto(t, j, newDatabase(t))
	begin := time.Now()
	a.drain()
	r.drain()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
}

// A stream that somebody else made, and that would let go of messages by itself, is not used before it is mended.
func TestStreamThatDropsIsRefused(t *testing.T) {
	cluster := startCluster(t, 1)
	c := cluster.config(t)
	js := cluster.client(t, c)
	for what, change := range map[string]func(*jetstream.StreamConfig){
		"discard":                  func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardOld },
		"max age":                  func(s *jetstream.StreamConfig) { s.MaxAge = time.Hour },
		"max messages per subject": func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 10 },
		"storage":                  func(s *jetstream.StreamConfig) { s.Storage = jetstream.MemoryStorage },
		"retention":                func(s *jetstream.StreamConfig) { s.Retention = jetstream.LimitsPolicy },
	} {
		t.Run(what, func(t *testing.T) {
			made := jetstream.StreamConfig{
				Name: "FLOWS", Subjects: []string{"flows.*"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
			}
			change(&made)
			if _, err := js.CreateStream(t.Context(), made); err != nil {
				t.Fatal(err)
			}
			var log lockedBuffer
			j, err := journal.Open(c, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer closeJournal(t, j)
			await(t, "the reason", func() bool { return strings.Contains(log.String(), "its "+what+" is") })
			if err := js.DeleteStream(t.Context(), "FLOWS"); err != nil {
				t.Fatal(err)
			}
			await(t, "the journal", func() bool { return j.Stats().Up })
			if err := js.DeleteStream(t.Context(), "FLOWS"); err != nil {
				t.Fatal(err)
			}
		})
	}
}
