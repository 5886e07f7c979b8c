package journal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowsensor/internal/journal"
	"flowsensor/internal/smalldisk"
)

// After a downgrade the journal of the newer version is left as it is, and the refusal says what to do.
func TestNewerFormatIsRefused(t *testing.T) {
	c := config(t)
	closeJournal(t, open(t, c))
	mark := filepath.Join(c.Dir, "format")
	if text, err := os.ReadFile(mark); err != nil || string(text) != "flow-collector journal 1\n" {
		t.Errorf("marked %q, %v", text, err)
	}
	if err := os.WriteFile(mark, []byte("flow-collector journal 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := journal.Open(c, slog.New(slog.DiscardHandler))
	if !errors.Is(err, journal.ErrFormat) || !strings.Contains(err.Error(), "has format 2, this version knows 1") || !strings.Contains(err.Error(), "install that one again") {
		t.Errorf("opened: %v", err)
	}
	if n := setAside(t, c); n != 0 {
		t.Errorf("%d files were set aside", n)
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil { // as after a crash
		t.Fatal(err)
	}
	closeJournal(t, open(t, c))
}

// Whatever is wrong with the files, the journal opens and works; what cannot be read is set aside, not deleted.
func TestDamagedFiles(t *testing.T) {
	const streams = "jetstream/$G/streams"
	garbage := bytes.Repeat([]byte("damage"), 1000)
	for name, damage := range map[string]struct {
		// glob names the files, below the journal's folder; what is done to them follows.
		glob     string
		to       func(old []byte) []byte
		setAside bool
	}{
		"stream meta":            {streams + "/FLOWS/meta.inf", func([]byte) []byte { return garbage }, true},
		"empty stream meta":      {streams + "/FLOWS/meta.inf", func([]byte) []byte { return nil }, true},
		"stream sum":             {streams + "/FLOWS/meta.sum", func([]byte) []byte { return garbage }, true},
		"bucket meta":            {streams + "/KV_flows/meta.inf", func([]byte) []byte { return garbage }, true},
		"bucket messages":        {streams + "/KV_flows/msgs/*", func([]byte) []byte { return garbage }, true},
		"index":                  {streams + "/FLOWS/msgs/index.db", func([]byte) []byte { return garbage }, false},
		"torn block":             {streams + "/FLOWS/msgs/*.blk", func(old []byte) []byte { return old[:len(old)*2/3] }, true},
		"block of garbage":       {streams + "/FLOWS/msgs/*.blk", func(old []byte) []byte { return append(garbage, old...) }, true},
		"empty block":            {streams + "/FLOWS/msgs/*.blk", func([]byte) []byte { return nil }, false},
		"messages of garbage":    {streams + "/FLOWS/msgs/*", func([]byte) []byte { return garbage }, true},
		"every file of garbage":  {streams + "/*/*", func([]byte) []byte { return garbage }, true},
		"consumer":               {streams + "/FLOWS/obs/*/*", func([]byte) []byte { return garbage }, false},
		"one bit in every block": {streams + "/FLOWS/msgs/*.blk", flip, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			d := newDatabase(t)
			fill(t, c)
			harm(t, filepath.Join(c.Dir, damage.glob), damage.to)
			j := open(t, c)
			a, r := appendTo(t, j), readInto(t, j, d)
			for seq := range uint64(50) {
				a.put(batchOf("edge-2", seq, 10))
			}
			a.drain()
			r.drain()
			closeJournal(t, j)
			d.holds(t, a.durable)
			aside := setAside(t, c)
			if damage.setAside != (aside > 0) {
				t.Errorf("%d files were set aside", aside)
			}
			t.Logf("%d of 1500 rows from before the damage survive, %d files were set aside", d.rows()-500, aside)
		})
	}
}

// harm changes every file of a pattern.
func harm(t *testing.T, pattern string, to func(old []byte) []byte) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			continue
		}
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, to(old), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func flip(old []byte) []byte {
	if len(old) > 0 {
		old[rand.IntN(len(old))] ^= 1
	}
	return old
}

// fill leaves messages, a checkpoint and a consumer behind.
func fill(t *testing.T, c journal.Config) {
	t.Helper()
	c.InFlight, c.GroupBytes = 10, 2000
	j := open(t, c)
	a := appendTo(t, j)
	d := newDatabase(t)
	d.setDown(true)
	defer d.setDown(false)
	for seq := range uint64(150) {
		a.put(batchOf("edge-1", seq, 10))
	}
	a.drain()
	r := readInto(t, j, d)
	await(t, "a session", func() bool { return r.Stats().InFlight > 0 })
	r.kill()
	closeJournal(t, j)
}

func setAside(t *testing.T, c journal.Config) (files int) {
	t.Helper()
	dir := filepath.Join(c.Dir, "damaged")
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, "lock") {
			files++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A file system without room refuses, and the journal goes on when there is room again.
func TestDiskFull(t *testing.T) {
	c := config(t)
	c.MinFree = 2 << 20
	c.Dir = smalldisk.Mount(t, "12m")
	j := open(t, c)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	var seq uint64
	await(t, "a full disk", func() bool {
		for range 200 {
			if a.Append(batchOf("edge-1", seq, 30)) == nil {
				seq++
			}
		}
		return a.Stats().Failures > 0
	})
	r := readInto(t, j, d)
	a.put(batchOf("edge-1", seq, 30))
	a.drain()
	r.drain()
	if got := a.acknowledged(); got != int(seq)+1 {
		t.Fatalf("%d acknowledged of %d taken", got, seq+1)
	}
	d.holds(t, a.durable)
}

// Somebody else takes the last block: the server in this process cannot write any more and has to be started again, once
// there is room.
func TestDiskTaken(t *testing.T) {
	c := config(t)
	c.Dir = smalldisk.Mount(t, "12m")
	j := open(t, c)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	r := readInto(t, j, d)
	stop := make(chan struct{})
	sent := pump(a, stop, 10)
	await(t, "rows", func() bool { return d.rows() > 1000 })
	ballast, err := os.Create(filepath.Join(c.Dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	await(t, "trouble", func() bool { return a.Stats().Failures > 0 || r.Stats().Active == 0 })
	if err := errors.Join(ballast.Close(), os.Remove(ballast.Name())); err != nil {
		t.Fatal(err)
	}
	before := d.rows()
	await(t, "more rows", func() bool { return d.rows() > before+1000 })
	close(stop)
	n := <-sent
	a.drain()
	r.drain()
	d.holds(t, a.durable)
	if d.rows() != int(n)*10 {
		t.Errorf("%d rows of %d", d.rows(), n*10)
	}
}
