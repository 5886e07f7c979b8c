package enrich_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"go.uber.org/goleak"

	"flowsensor/internal/enrich"
	"flowsensor/internal/flow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book keeps what is logged.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// watched opens both files and runs until the test ends.
func watched(t *testing.T, c enrich.Config) (*enrich.Origins, *book) {
	t.Helper()
	log := &book{}
	c.Interval, c.Log = enrich.MinInterval, slog.New(slog.NewTextHandler(log, nil))
	o := open(t, c)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); o.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return o, log
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
	}
}

// settle lets Run look a few times.
func settle() { time.Sleep(10 * enrich.MinInterval) }

func TestReloadKeepsTheOldTableUntilTheNewOneIsWhole(t *testing.T) {
	path := file(t, "prefixes.csv", []byte("192.0.2.0/24,1,first\n"))
	o, log := watched(t, enrich.Config{Prefixes: path})
	is := func(as uint32) func() bool { return func() bool { return lookup(o, "192.0.2.1").AS == as } }
	stats := func() enrich.SourceStats { return o.Stats()[enrich.Prefixes] }

	write(t, path, []byte("192.0.2.0/24,2,renamed over\n"))
	eventually(t, "a file renamed over the old one", is(2))

	if err := os.WriteFile(path, []byte("192.0.2.0/24,3,written in place\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a file written in place", is(3))
	if st := stats(); st.Reloads != 2 || st.Failures != 0 || st.Stale || st.Prefixes != 1 || st.Systems != 1 || st.Loaded.IsZero() {
		t.Errorf("%+v", st)
	}

	write(t, path, []byte("192.0.2.0/24,4,fourth\n198.51.100.0/24,x\n"))
	eventually(t, "a broken file to be refused", func() bool { return stats().Stale })
	settle()
	if st := stats(); !is(3)() || st.Failures != 1 || st.Reloads != 2 {
		t.Errorf("after a broken file: %+v, AS %d", st, lookup(o, "192.0.2.1").AS)
	}
	if text := log.String(); strings.Count(text, "ERROR") != 1 || !strings.Contains(text, path+":2: ") || !strings.Contains(text, "source=prefix_table") {
		t.Errorf("logged %s", text)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a missing file to be refused", func() bool { return stats().Failures == 2 })
	settle()
	if st := stats(); !is(3)() || !st.Stale || st.Failures != 2 {
		t.Errorf("after the file went: %+v", st)
	}

	write(t, path, []byte("192.0.2.0/24,5,fifth\n"))
	eventually(t, "the mended file", is(5))
	if st := stats(); st.Stale || st.Reloads != 3 {
		t.Errorf("after the file was mended: %+v", st)
	}
}

// A writer that takes its time never gets half a file loaded.
func TestReloadWaitsForASlowWriter(t *testing.T) {
	path := file(t, "prefixes.csv", []byte("192.0.2.0/24,1\n"))
	o, log := watched(t, enrich.Config{Prefixes: path})
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := out.WriteString("# one more line\n"); err != nil {
			t.Fatal(err)
		}
		if lookup(o, "192.0.2.1").AS != 1 {
			t.Fatal("half a file was loaded")
		}
		time.Sleep(enrich.MinInterval / 5)
	}
	if _, err := out.WriteString("192.0.2.0/24,2\n"); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the whole file", func() bool { return lookup(o, "192.0.2.1").AS == 2 })
	if st := o.Stats()[enrich.Prefixes]; st.Stale {
		t.Errorf("%+v; %s", st, log)
	}
}

// What ends with the process where a file is mapped: it is cut while it is in use.
func TestDatabaseCutWhileInUse(t *testing.T) {
	good := database(t, mmdbwriter.Options{}, network{"192.0.2.0/24", 64500, "Example"})
	path := file(t, "asn.mmdb", good)
	o, log := watched(t, enrich.Config{Database: path})
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cut file to be refused", func() bool { return o.Stats()[enrich.Database].Stale })
	if got := lookup(o, "192.0.2.1"); got.AS != 64500 {
		t.Errorf("the old table is gone: %+v", got)
	}
	if text := log.String(); !strings.Contains(text, path) || !strings.Contains(text, "not a whole MaxMind DB file") {
		t.Errorf("logged %s", text)
	}
	write(t, path, database(t, mmdbwriter.Options{}, network{"192.0.2.0/24", 64501, "Example"}))
	eventually(t, "the next database", func() bool { return lookup(o, "192.0.2.1").AS == 64501 })
	if st := o.Stats()[enrich.Database]; st.Stale || st.Reloads != 1 || st.Failures != 1 {
		t.Errorf("%+v", st)
	}
}

// Look-ups go on while tables are swapped, and see one table or the other.
func TestEnrichWhileReloading(t *testing.T) {
	versions := [][]byte{[]byte("0.0.0.0/0,1,one\n::/0,1,one\n"), []byte("0.0.0.0/1,2,two\n128.0.0.0/1,2,two\n::/0,2,two\n")}
	path := filepath.Join(t.TempDir(), "prefixes.csv")
	write(t, path, versions[0])
	o, _ := watched(t, enrich.Config{Prefixes: path})
	var stop atomic.Bool
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			all := records(256)
			for i := 0; !stop.Load(); i = (i + 1) % len(all) {
				r, a := all[i], flow.Attribution{}
				o.Enrich(&r, &a)
				if (r.SrcAS == 1) != (a.ClientASName == "one") || (r.SrcAS == 2) != (a.ClientASName == "two") || r.SrcMask == 0 {
					t.Errorf("AS %d is %q, mask %d", r.SrcAS, a.ClientASName, r.SrcMask)
					return
				}
			}
		})
	}
	for i := range 6 {
		before := o.Stats()[enrich.Prefixes].Reloads
		write(t, path, versions[(i+1)%2])
		eventually(t, "a reload", func() bool { return o.Stats()[enrich.Prefixes].Reloads > before })
	}
	stop.Store(true)
	workers.Wait()
}
