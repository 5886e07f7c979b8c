package journal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
)

// The child is a process of its own: what it cannot do any more after SIGKILL is what a crash is about.
const (
	childDir   = "FLOWSENSOR_JOURNAL_CHILD"
	childFirst = "FLOWSENSOR_JOURNAL_FIRST"
	childRows  = 20
)

// child appends batches from a first number on and prints the number of each once it is durable, and writes what it
// reads as lines into a file, synced before it says that they are stored: "point packets bytes".
func child(dir string) {
	signal.Ignore(syscall.SIGPIPE)
	first, _ := strconv.ParseUint(os.Getenv(childFirst), 10, 64)
	c := journal.DefaultConfig()
	c.Dir, c.MinFree = dir, 1<<20
	c.GroupBytes = 8 << 10 // many messages
	j, err := journal.Open(c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, "error", err)
		return
	}
	rows, err := os.OpenFile(dir+".rows", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, "error", err)
		return
	}
	batches := make(chan *flow.Batch, 1000)
	r := j.Reader(func(b *flow.Batch) error { batches <- b; return nil })
	go func() { _ = r.Run(context.Background()) }()
	go keep(rows, batches, r)

	var out sync.Mutex
	a := j.Appender(func(b *flow.Batch, outcome journal.Outcome) {
		out.Lock()
		defer out.Unlock()
		if outcome == journal.Durable {
			_, _ = fmt.Fprintln(os.Stdout, b.Seq)
		}
	})
	go func() { _ = a.Run(context.Background()) }()
	for seq := first; ; {
		if a.Append(batchOf("edge-1", seq, childRows)) == nil {
			seq++
		} else {
			time.Sleep(time.Millisecond)
		}
	}
}

func keep(rows *os.File, batches <-chan *flow.Batch, r *journal.Reader) {
	for b := range batches {
		taken := []*flow.Batch{b}
		for len(batches) > 0 {
			taken = append(taken, <-batches)
		}
		var text strings.Builder
		for _, b := range taken {
			for i := range b.Records {
				fmt.Fprintf(&text, "%d %d %d\n", b.Base+int64(i), b.Records[i].Packets, b.Records[i].Bytes)
			}
		}
		_, _ = rows.WriteString(text.String())
		_ = rows.Sync()
		for _, b := range taken {
			r.Stored(b)
		}
	}
}

// What a killed process has acknowledged is in the database in the end, each point once; what is written twice is the
// same point.
func TestKill(t *testing.T) {
	dir := t.TempDir() + "/journal"
	var durable []uint64
	var next uint64
	const kills = 5
	for range kills {
		numbers := runChild(t, dir, next)
		durable = append(durable, numbers...)
		for _, n := range numbers {
			next = max(next, n+1)
		}
		// The sensor sends again what was not acknowledged, and a little of what was.
		next -= min(next, 20)
	}
	if len(durable) < 1000 {
		t.Fatalf("only %d batches became durable in %d lives: too few to say anything", len(durable), kills)
	}
	c := config(t)
	c.Dir = dir
	j := open(t, c)
	defer closeJournal(t, j)
	d := newDatabase(t)
	r := readInto(t, j, d)
	r.drain()
	lines, identical := readRows(t, dir+".rows")
	for _, seq := range durable {
		b := batchOf("edge-1", seq, childRows)
		for i := range b.Records {
			want := fmt.Sprintf("%d %d", b.Records[i].Packets, b.Records[i].Bytes)
			key := strconv.FormatInt(b.Base+int64(i), 10)
			p, late := d.points["edge-1 "+key]
			if lines[key] != want && (!late || p.packets != b.Records[i].Packets || p.bytes != b.Records[i].Bytes) {
				t.Fatalf("row %s of batch %d: %q in the file, %+v later; want %q", key, seq, lines[key], p, want)
			}
		}
	}
	t.Logf("%d batches durable in %d lives, %d rows stored before the last kill, %d after, %d written twice in the crash windows",
		len(durable), kills, len(lines), d.rows(), identical)
	if identical > len(lines)/4 {
		t.Errorf("%d of %d rows were written twice: the checkpoint does not do its work", identical, len(lines))
	}
}

// runChild runs a child for a while, kills it, and gives the numbers that it acknowledged.
func runChild(t *testing.T, dir string, first uint64) []uint64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childFirst+"="+strconv.FormatUint(first, 10))
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var numbers []uint64
	kill := time.AfterFunc(700*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if text, failed := strings.CutPrefix(lines.Text(), "error"); failed {
			t.Errorf("child: %s", text)
			break
		}
		if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil { // the last line may be torn
			numbers = append(numbers, n)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if n := len(numbers); n > 0 {
		numbers = numbers[:n-1] // its line may have been cut to another number
	}
	return numbers
}

// readRows gives the rows by point, and how many lines repeat another; a point with two contents is an error.
func readRows(t *testing.T, path string) (rows map[string]string, identical int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows = make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !strings.HasSuffix(line, "\n") {
			continue
		}
		if old, known := rows[key]; known {
			identical++
			if old != value {
				t.Fatalf("point %s was written as %q and as %q", key, old, value)
			}
		}
		rows[key] = value
	}
	return rows, identical
}
