package journal_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowsensor/internal/journal"
)

// cluster is nats-servers of the pinned version in this process, on ports of the loopback.
type cluster struct {
	nodes []*server.Server
}

func startCluster(t *testing.T, size int) *cluster {
	t.Helper()
	routes := make([]string, size)
	ports := make([]int, size)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		routes[i] = fmt.Sprintf("nats://127.0.0.1:%d", ports[i])
		_ = l.Close()
	}
	c := &cluster{}
	var starting sync.WaitGroup
	for i := range size {
		o := &server.Options{
			ServerName: fmt.Sprintf("node-%d", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true,
		}
		if size > 1 {
			o.Cluster = server.ClusterOpts{Name: "flows", Host: "127.0.0.1", Port: ports[i], PoolSize: -1}
			o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		}
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		starting.Go(s.Start)
		c.nodes = append(c.nodes, s)
		t.Cleanup(func() { c.kill(s) })
	}
	starting.Wait()
	await(t, "the cluster's leader", func() bool {
		for _, s := range c.nodes {
			if s.JetStreamIsLeader() || size == 1 && s.JetStreamEnabled() {
				return true
			}
		}
		return false
	})
	return c
}

func (c *cluster) kill(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func (c *cluster) config(t *testing.T) journal.Config {
	t.Helper()
	cfg := config(t)
	var urls []string
	for _, s := range c.nodes {
		urls = append(urls, s.ClientURL())
	}
	cfg.URL, cfg.Replicas = strings.Join(urls, ","), len(c.nodes)
	return cfg
}

// client speaks to the cluster past the journal.
func (c *cluster) client(t *testing.T, cfg journal.Config) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// pump appends batches until told to stop, and gives their number.
func pump(a *appending, stop <-chan struct{}, records int) <-chan uint64 {
	sent := make(chan uint64, 1)
	go func() {
		var seq uint64
		defer func() { sent <- seq }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if a.Append(batchOf("edge-1", seq, records)) == nil {
				seq++
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	return sent
}

// A writer that dies without a word is replaced within seconds, and nothing is lost or written twice but in its last
// moment; one that stops in order is replaced at once.
func TestTakeover(t *testing.T) {
	c := startCluster(t, 1)
	cfg := c.config(t)
	first, second := open(t, cfg), open(t, cfg)
	a := appendTo(t, second)
	d := newDatabase(t)
	one := readInto(t, first, d)
	await(t, "the first writer", func() bool { return one.Stats().Active == 1 })
	two := readInto(t, second, d)
	stop := make(chan struct{})
	sent := pump(a, stop, 10)
	await(t, "rows", func() bool { return d.rows() > 1000 })
	if two.Stats().Active != 0 {
		t.Error("two writers are active")
	}

	death := time.Now()
	closeJournal(t, first) // its connection is gone before it can let go of the lease
	one.kill()
	await(t, "the second writer", func() bool { return two.Stats().Active == 1 })
	t.Logf("the second writer took over after %s, with a lease of %s", time.Since(death), cfg.LeaseTTL)
	if since := time.Since(death); since > 3*cfg.LeaseTTL {
		t.Errorf("the second writer took over after %s", since)
	}
	before := d.rows()
	await(t, "more rows", func() bool { return d.rows() > before+1000 })

	third := open(t, cfg)
	defer closeJournal(t, third)
	three := readInto(t, third, d)
	two.drain()
	await(t, "the third writer", func() bool { return three.Stats().Active == 1 })
	close(stop)
	n := <-sent
	a.drain()
	await(t, "all rows", func() bool { return d.rows() == int(n)*10 })
	three.drain()
	closeJournal(t, second)
	d.holds(t, a.durable)
	t.Logf("%d rows, %d written twice, first writer %+v", d.rows(), d.twice(), one.Stats())
	if d.twice() > d.rows()/4 {
		t.Errorf("%d of %d rows were written twice", d.twice(), d.rows())
	}
}

// A writer that lost its lease, or its checkpoint, unawares stores no checkpoint and acknowledges nothing.
func TestFence(t *testing.T) {
	c := startCluster(t, 1)
	cfg := c.config(t)
	j := open(t, cfg)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	r := readInto(t, j, d)
	a.put(batchOf("edge-1", 0, 10))
	await(t, "rows", func() bool { return d.rows() == 10 })
	await(t, "the checkpoint", func() bool { return j.Stats().Up && j.Stats().Messages == 0 })
	bucket, err := c.client(t, cfg).KeyValue(t.Context(), "flows")
	if err != nil {
		t.Fatal(err)
	}
	before := r.Stats().Checkpoints
	if _, err := bucket.Put(t.Context(), "lease.0", []byte("thief")); err != nil {
		t.Fatal(err)
	}
	await(t, "the loss of the lease", func() bool { return r.Stats().Fenced == 1 })
	await(t, "a new session with the checkpoint in its name", func() bool {
		return r.Stats().Active == 1 && r.Stats().Checkpoints > before
	})

	entry, err := bucket.Get(t.Context(), "checkpoint.0")
	if err != nil {
		t.Fatal(err)
	}
	stolen := entry.Value()
	stolen[3] ^= 1 // in the name of the writer
	if _, err := bucket.Put(t.Context(), "checkpoint.0", stolen); err != nil {
		t.Fatal(err)
	}
	a.put(batchOf("edge-1", 1, 10))
	await(t, "the fence", func() bool { return r.Stats().Fenced == 2 })
	a.drain()
	await(t, "both batches", func() bool { return r.Stats().Active == 1 && j.Stats().Messages == 0 })
	r.drain()
	d.holds(t, a.durable)
	if d.rows() != 20 {
		t.Errorf("%d rows, want 20", d.rows())
	}
}

// One node of three dies under load, the one that leads the stream: no batch that was acknowledged is lost.
func TestClusterLosesNode(t *testing.T) {
	c := startCluster(t, 3)
	cfg := c.config(t)
	cfg.LeaseTTL = 2 * time.Second
	first, second := open(t, cfg), open(t, cfg)
	defer closeJournal(t, first)
	defer closeJournal(t, second)
	a, d := appendTo(t, first), newDatabase(t)
	one, two := readInto(t, first, d), readInto(t, second, d)
	stop := make(chan struct{})
	sent := pump(a, stop, 10)
	await(t, "rows", func() bool { return d.rows() > 2000 })

	js := c.client(t, cfg)
	stream, err := js.Stream(t.Context(), "FLOWS")
	if err != nil {
		t.Fatal(err)
	}
	leader := stream.CachedInfo().Cluster.Leader
	for _, s := range c.nodes {
		if s.Name() == leader {
			c.kill(s)
		}
	}
	death := time.Now()
	acknowledged := a.acknowledged()
	await(t, "acknowledgements without the node", func() bool { return a.acknowledged() > acknowledged+500 })
	t.Logf("batches are acknowledged again %s after %s died", time.Since(death), leader)
	before := d.rows()
	await(t, "rows without the node", func() bool { return d.rows() > before+2000 })
	t.Logf("rows are written again %s after it", time.Since(death))
	close(stop)
	n := <-sent
	a.drain()
	await(t, "all rows", func() bool { return d.rows() == int(n)*10 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, r := range []*reading{one, two} {
		if err := r.Drain(ctx); err != nil {
			t.Error(err)
		}
		r.kill()
	}
	d.holds(t, a.durable)
	t.Logf("%d rows, %d written twice; %+v; %+v", d.rows(), d.twice(), one.Stats(), two.Stats())
	if d.twice() > d.rows()/4 {
		t.Errorf("%d of %d rows were written twice", d.twice(), d.rows())
	}
}

// A writer that dies in the midst of windows is replaced by one that stores the same windows.
func TestTakeoverOfWindows(t *testing.T) {
	c := startCluster(t, 1)
	cfg := c.config(t)
	cfg.Window, cfg.Windows = 100*time.Millisecond, 3
	cfg.GroupBytes, cfg.GroupAge = 2000, 5*time.Millisecond
	appends := open(t, cfg)
	a := appendTo(t, appends)
	d, w := newDatabase(t), newWindowed(t)
	stop := make(chan struct{})
	sent := pump(a, stop, 3)
	for range 4 {
		j := open(t, cfg)
		r := gatherInto(t, j, d, w)
		await(t, "windows", func() bool { return r.Stats().Windows > 3 })
		closeJournal(t, j)
		r.kill()
	}
	close(stop)
	batches := int(<-sent)
	a.drain()
	r := gatherInto(t, appends, d, w)
	await(t, "the rest", func() bool { return w.count() == batches })
	r.drain()
	closeJournal(t, appends)
	w.holds(batches)
	if d.rows() != 3*batches {
		t.Errorf("%d rows of %d batches", d.rows(), batches)
	}
	t.Logf("%d batches in %d windows, %d stored again", batches, len(w.contents), w.rewrites)
}
