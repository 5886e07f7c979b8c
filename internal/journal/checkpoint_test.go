package journal_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"flowsensor/internal/journal"
)

// More sensors than the servers take a checkpoint of: the log says so before and then, with what to do, nothing is lost, and
// it goes on once that was done.
func TestCheckpointOutgrowsServer(t *testing.T) {
	o := &server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true,
		MaxPayload: 4 << 10,
	}
	small := startServer(t, o)
	cfg := config(t)
	cfg.URL, cfg.Replicas, cfg.GroupBytes = small.ClientURL(), 1, 500
	var log lockedBuffer
	j, err := journal.Open(cfg, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	r := readInto(t, j, d)
	const sensors = 300
	for i := range sensors {
		a.put(batchOf(fmt.Sprintf("a-sensor-with-a-long-name-%d", i), 1, 2))
	}
	await(t, "all rows", func() bool { return d.rows() == 2*sensors })
	for _, text := range []string{"the checkpoint of a shard grows too long", "cannot be stored", "maximum payload exceeded", "raise max_payload"} {
		await(t, text, func() bool { return strings.Contains(log.String(), text) })
	}
	if st := r.Stats(); st.CheckpointMax != 4<<10 || st.CheckpointBytes <= 4<<10 {
		t.Errorf("%+v", st)
	}
	await(t, "messages that are not acknowledged", func() bool { return j.Stats().Messages > 0 })

	o.MaxPayload, o.Port = 1<<20, portOf(small)
	small.Shutdown()
	small.WaitForShutdown()
	await(t, "word that it is away", func() bool { return !j.Stats().Up })
	startServer(t, o)
	await(t, "the checkpoint", func() bool { return r.Stats().CheckpointMax == 1<<20 && j.Stats().Up && j.Stats().Messages == 0 })
	a.drain()
	r.drain()
	d.holds(t, a.durable)
}
