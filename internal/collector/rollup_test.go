package collector_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"flowsensor/internal/collector"
	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/store/influxtest"
)

// childConfig names the configuration of a collector that runs as a process of its own, to be killed.
const childConfig = "FLOWSENSOR_COLLECTOR_CHILD"

func child(path string) {
	// The daemon takes the signals itself. Taken here too, one SIGTERM would count as two, and cut the draining short.
	if err := collector.Run(context.Background(), path); err != nil {
		panic(err)
	}
}

// process is a collector that can be killed and started again.
type process struct {
	t      *testing.T
	config string
	cmd    *exec.Cmd
	log    strings.Builder
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childConfig+"="+p.config)
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// end stops in order.
func (p *process) end() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the collector ended with %v:\n%s", err, p.log.String())
	}
}

// sums is what was sent, and what a measurement holds.
type sums struct {
	bytes, packets, flows int64
}

// sensor sends records until it is stopped.
type sensor struct {
	*export.Sender
	sent sums
	run  sync.WaitGroup
	stop context.CancelFunc
}

func startSensor(t *testing.T, id string, key seal.Key, port int) *sensor {
	t.Helper()
	c := export.DefaultConfig()
	c.ID, c.Key, c.Collector = id, key, fmt.Sprintf("127.0.0.1:%d", port)
	c.Keeping, c.SpoolSize = export.InMemory, 0
	c.FlushInterval, c.ResendAfter, c.ResendMost = 50*time.Millisecond, 200*time.Millisecond, time.Second
	sender, err := export.NewSender(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &sensor{Sender: sender}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.run.Go(func() {
		if err := sender.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// send adds records of all kinds of times for as long as ctx lasts.
func (s *sensor) send(ctx context.Context, seed uint64) {
	r := rand.New(rand.NewPCG(seed, seed))
	b := s.Batcher("eth0")
	defer b.Close()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
		now := time.Now()
		for range 5 {
			rec := anyRecord(r, now.UnixNano())
			b.Add(&rec)
			s.sent.bytes += int64(rec.Bytes)
			s.sent.packets += int64(rec.Packets)
			s.sent.flows++
		}
		b.Flush(now.UnixNano())
	}
}

func anyRecord(r *rand.Rand, now int64) flow.Record {
	last := now - r.Int64N(int64(20*time.Second))
	switch r.IntN(50) {
	case 0:
		last -= int64(90 * time.Minute) // late
	case 1:
		last += int64(10 * time.Minute) // ahead
	}
	rec := flow.Record{
		Key: flow.Key{
			Version: 4, Src: flow.Addr{Lo: 0x0a000000 + r.Uint64N(300)}, Dst: flow.Addr{Lo: 0xc0a80000 + r.Uint64N(40)},
			SrcPort: uint16(1024 + r.IntN(60000)), DstPort: []uint16{443, 53, 8080}[r.IntN(3)], IfIndex: 2, Proto: flow.ProtoTCP,
		},
		Bytes: 40 + r.Uint64N(1_000_000), Packets: 1 + r.Uint64N(1000), First: last - r.Int64N(int64(70*time.Second)), Last: last,
		EndReason: flow.EndIdle,
	}
	if r.IntN(2) == 0 {
		rec.Src, rec.Dst, rec.SrcPort, rec.DstPort = rec.Dst, rec.Src, rec.DstPort, rec.SrcPort
	}
	// The wire has microseconds.
	rec.First, rec.Last = rec.First/1000*1000, rec.Last/1000*1000
	return rec
}

// rig is a collector with two shards, a real database and three sensors.
type rig struct {
	*process
	server  *influxtest.Server
	sensors []*sensor
	sending sync.WaitGroup
	stop    context.CancelFunc
}

func newRig(t *testing.T, more string) *rig {
	t.Helper()
	r := &rig{server: influxtest.WithDatabase(t, "flows")}
	dir, port := t.TempDir(), freePort(t)
	text := fmt.Sprintf("state_dir = %q\n[ingest]\nlisten = [\"127.0.0.1:%d\"]\n[http]\nlisten = \"\"\n[journal]\nshards = 2\nlease = \"1s\"\n"+
		"[store]\nkind = \"influxdb\"\nage = \"100ms\"\n[store.influxdb]\nurl = %q\n%s"+
		"[[network]]\nname = \"office\"\nprefixes = [\"10.0.0.0/8\"]\nours = true\n", dir, port, r.server.URL(), more)
	keys := make(map[string]seal.Key)
	for _, id := range []string{"edge-1", "edge-2", "edge-3"} {
		key, err := seal.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		keys[id] = key
		path := filepath.Join(dir, id+".key")
		if err := os.WriteFile(path, []byte(key.Encode()), 0o600); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("[[sensor]]\nid = %q\nkey_files = [%q]\n", id, path)
	}
	r.process = &process{t: t, config: filepath.Join(dir, "collector.toml")}
	if err := os.WriteFile(r.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(r.kill)
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	for id, key := range keys {
		s := startSensor(t, id, key, port)
		r.sensors = append(r.sensors, s)
		r.sending.Go(func() { s.send(ctx, uint64(len(id))) })
	}
	return r
}

// finish ends sensors and collector in order, and gives what was sent.
func (r *rig) finish() (sent sums) {
	r.t.Helper()
	r.stop()
	r.sending.Wait()
	for _, s := range r.sensors {
		s.stop()
		s.run.Wait()
		ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
		if err := s.Drain(ctx); err != nil {
			r.t.Error(err)
		}
		cancel()
		if err := s.Close(); err != nil {
			r.t.Error(err)
		}
		sent.bytes += s.sent.bytes
		sent.packets += s.sent.packets
		sent.flows += s.sent.flows
	}
	r.end()
	return sent
}

// A collector that is killed in the midst of windows, and around their ends, leaves sums in a real database that agree
// with what was sent, in every measurement.
func TestRollupsThroughKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the time of three windows")
	}
	r := newRig(t, "[rollup.conversation]\ntop = 100\n")
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	const windows, window = 3, 10 * time.Second
	rowsAtKill := int64(0)
	for range windows {
		// In the midst of a window, then shortly after its end, when its rows are on their way.
		end := time.Now().Truncate(window).Add(window)
		for _, at := range []time.Time{
			end.Add(-time.Duration(random.Int64N(int64(4 * time.Second)))),
			end.Add(250*time.Millisecond + time.Duration(random.Int64N(int64(500*time.Millisecond)))),
		} {
			time.Sleep(time.Until(at))
			r.kill()
			if n, err := r.server.Count(t.Context(), "flows", "traffic", "bytes"); err == nil {
				rowsAtKill = max(rowsAtKill, n)
			}
			r.start()
		}
	}
	want := r.finish()
	t.Logf("%d records sent, %d rows of traffic stood in the database at a kill", want.flows, rowsAtKill)
	if rowsAtKill == 0 {
		t.Error("no row was written before a kill: the test says nothing")
	}
	for _, measurement := range []string{"flow", "traffic", "conversation"} {
		if got := measured(t, r.server, measurement); got != want {
			t.Errorf("%s: %+v, want %+v", measurement, got, want)
		}
	}
	if t.Failed() {
		t.Log(r.log.String())
	}
}

// measured adds up a measurement.
func measured(t *testing.T, server *influxtest.Server, measurement string) sums {
	t.Helper()
	sum := func(field string) int64 {
		n, err := server.Sum(t.Context(), "flows", measurement, field)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	s := sums{bytes: sum("bytes"), packets: sum("packets")}
	if measurement != "flow" {
		s.flows = sum("flows")
		return s
	}
	n, err := server.Count(t.Context(), "flows", measurement, "bytes")
	if err != nil {
		t.Fatal(err)
	}
	s.flows = n
	return s
}
