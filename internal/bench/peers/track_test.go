package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowsensor/internal/testgate"
	"flowsensor/internal/testnet"
)

func TestSplitCores(t *testing.T) {
	for list, want := range map[string]cores{"0-3": {"0", "3"}, "2,5-7": {"2", "7"}, "0": {}, "": {}} {
		if got := splitCores(list); got != want {
			t.Errorf("%q: %+v, want %+v", list, got, want)
		}
	}
}

func TestShareOfLost(t *testing.T) {
	for _, c := range []struct {
		sent, accounted uint64
		want            float64
	}{{100, 75, 0.25}, {100, 100, 0}, {100, 103, 0}, {0, 0, 0}} {
		if got := share(c.sent, c.accounted); got != c.want {
			t.Errorf("%d of %d: %v, want %v", c.accounted, c.sent, got, c.want)
		}
	}
}

// TestCPUTimeIsTheKernels: what this process burns shows, a child's too while it lives.
func TestCPUTimeIsTheKernels(t *testing.T) {
	before := cpuTime(os.Getpid())
	child := exec.Command("sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Wait() }()
	defer func() { _ = child.Process.Kill() }()
	deadline := time.Now().Add(10 * time.Second)
	for cpuTime(child.Process.Pid) < 50*time.Millisecond {
		if time.Now().After(deadline) {
			t.Fatal("a busy child has no CPU time")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := cpuTime(os.Getpid()) - before; got < 50*time.Millisecond {
		t.Errorf("%v with a child that ran 50 ms", got)
	}
	if m := memoryOf(os.Getpid()); m.peak < m.anon || m.anon < 1<<20 {
		t.Errorf("%+v is no memory of a Go program with a child", m)
	}
}

// TestBetweenLooksAtThePartAlone: what came before and what comes after the file's end is not in it.
func TestBetweenLooksAtThePartAlone(t *testing.T) {
	u := usage{marks: []mark{{50, 900}, {100, 1000}, {150, 1100}, {190, 1180}, {200, 9000}, {200, 9900}}}
	if got := u.between(100, 200); got != 2 {
		t.Errorf("%v ns an octet, want 2", got)
	}
	if got := u.between(195, 200); got != 0 {
		t.Errorf("%v ns an octet of a part that was not seen", got)
	}
}

func TestOffsetFollowsAReader(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString("twelve bytes"); err != nil {
		t.Fatal(err)
	}
	if at, found := offset(os.Getpid(), f.Name()); !found || at != 12 {
		t.Errorf("at %d, %v, want 12", at, found)
	}
	if at, found := offset(os.Getpid(), "/not/open"); found {
		t.Errorf("at %d of a file that is not open", at)
	}
}

// counter is tcpdump as a contestant: it counts packets and no more.
func counter() contestant {
	return contestant{
		name: "tcpdump",
		command: func(j job) ([]string, error) {
			return append([]string{"tcpdump", "-n", "-w", "/dev/null", "-B", "65536", "-s", "64"}, j.source()...), nil
		},
		end:       syscall.SIGINT,
		accounted: regexp.MustCompile(`(\d+) packets captured`),
	}
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			testgate.Skipf(t, "needs %s: `make bench-peers` installs it", name)
		}
	}
}

func testTrack(t *testing.T) *track {
	t.Helper()
	link := testnet.NewLink(t, testnet.Config{})
	drain, err := openSink(link.Capture)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = drain.close() })
	return &track{link: link, sink: drain, dir: t.TempDir(), cores: splitCores(allowedCores()), log: io.Discard}
}

// TestLive sends a small crowd past a program that is known to count right.
func TestLive(t *testing.T) {
	testnet.RequireRoot(t)
	needs(t, generator, "tcpdump", "taskset")
	track, c := testTrack(t), counter()
	m, err := crowd{flows: 100, packets: 5000}.live(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := track.run(ctx, &c, m)
	if err != nil {
		t.Fatal(err)
	}
	if got.lost != 0 || got.rate <= 0 || got.perPacket <= 0 || got.steady <= 0 || got.steady > got.perPacket*2 {
		t.Errorf("%+v of 5,100 packets", got)
	}
	c.sends = true
	if _, err := track.run(ctx, &c, m); err == nil || !strings.Contains(err.Error(), "exported nothing") {
		t.Errorf("a program that exports nothing gave %v", err)
	}
}

func TestReadTellsOfAProgramThatFails(t *testing.T) {
	testnet.RequireRoot(t)
	needs(t, "taskset")
	track := testTrack(t)
	m, err := crowd{flows: 10, packets: 90}.file(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	said := func(script string) (outcome, error) {
		c := contestant{
			name:      "script",
			command:   func(j job) ([]string, error) { return []string{"sh", "-c", script, "-", j.file}, nil },
			accounted: regexp.MustCompile(`took (\d+)`),
		}
		return track.run(context.Background(), &c, m)
	}
	if got, err := said("test -s $1 && echo took 75"); err != nil || got.lost != 0.25 || got.perPacket <= 0 {
		t.Errorf("%+v, %v: want a quarter of 100 packets lost", got, err)
	}
	if _, err := said("echo no such option; exit 3"); err == nil || !strings.Contains(err.Error(), "no such option") {
		t.Errorf("a program that fails gave %v, without its words", err)
	}
}
