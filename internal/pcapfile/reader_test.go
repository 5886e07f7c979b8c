package pcapfile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/frame"
	"flowsensor/internal/pcapfile"
)

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenFile(t *testing.T) {
	content := little().pcap(micros, 1).frame(1, 2, "abc").b
	for _, packed := range [][]byte{content, gzipped(t, content)} {
		path := file(t, packed)
		r, err := pcapfile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		frames, err := walk(r)
		if err != nil || len(frames) != 1 || frames[0].Data != "abc" {
			t.Errorf("%+v, %v", frames, err)
		}
		if read, total := r.Progress(); read != int64(len(packed)) || total != read {
			t.Errorf("%d of %d bytes read, of a file of %d", read, total, len(packed))
		}
		if _, err := walk(r); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("a second walk: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := pcapfile.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := pcapfile.Open(t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
	path := file(t, []byte("not this"))
	if _, err := pcapfile.Open(path); !errors.Is(err, pcapfile.ErrFormat) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

// A pipe is read as it fills: a frame is visited before the next one is written.
func TestOpenStandardInput(t *testing.T) {
	defer goleak.VerifyNone(t)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = stdin }()
	visited := make(chan string)
	var wait sync.WaitGroup
	wait.Go(func() {
		r, err := pcapfile.Open("-")
		if err != nil {
			t.Error(err)
			return
		}
		if err := r.Walk(func(f *frame.Frame) { visited <- string(f.Data) }); err != nil {
			t.Error(err)
		}
		if read, total := r.Progress(); read != 24+17+17 || total != 0 {
			t.Errorf("%d of %d bytes", read, total)
		}
	})
	for i, step := range []*builder{little().pcap(micros, 1).frame(1, 0, "a"), little().frame(2, 0, "b")} {
		if _, err := out.Write(step.b); err != nil {
			t.Fatal(err)
		}
		if got, want := <-visited, string(rune('a'+i)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
	wait.Wait()
}

// The wait for a header that does not come ends with the context.
func TestOpenEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	for _, head := range []string{"", "\xd4\xc3\xb2"} { // nothing, and the beginning of one
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		os.Stdin = in
		if _, err := out.WriteString(head); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := pcapfile.OpenContext(ctx, "-")
			ended <- err
		}()
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		cancel()
		select {
		case err := <-ended:
			if err == nil {
				t.Error("a capture without a header was opened")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it waits for ever")
		}
		_ = out.Close()
	}
}

// Close ends a Walk that waits for more.
func TestCloseEndsWalk(t *testing.T) {
	defer goleak.VerifyNone(t)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	stdin := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = stdin }()
	if _, err := out.Write(little().pcap(micros, 1).frame(1, 0, "a").b); err != nil {
		t.Fatal(err)
	}
	r, err := pcapfile.Open("-")
	if err != nil {
		t.Fatal(err)
	}
	visited, ended := make(chan struct{}, 1), make(chan error)
	go func() { ended <- r.Walk(func(*frame.Frame) { visited <- struct{}{} }) }()
	<-visited
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("the walk ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the walk goes on")
	}
}

// However the bytes come, the frames are the same.
func TestAnyReader(t *testing.T) {
	ng := bigEndian().section().named(1, "eth0").enhanced(0, 5, "abc").block(0xbad, make([]byte, 2000)).enhanced(0, 6, "d")
	for _, content := range [][]byte{little().pcap(micros, 1).frame(1, 2, "abc").frame(3, 4, "d").b, ng.b, gzipped(t, ng.b)} {
		want, _, err := read(content)
		if err != nil || len(want) != 2 {
			t.Fatal(want, err)
		}
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with error": iotest.DataErrReader,
		} {
			r, err := pcapfile.NewReader(wrap(bytes.NewReader(content)))
			if err != nil {
				t.Fatal(name, err)
			}
			if frames, err := walk(r); err != nil || !slices.Equal(frames, want) {
				t.Errorf("%s: %+v, %v", name, frames, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	r, err := pcapfile.NewReader(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(ng.b))))
	if err == nil {
		_, err = walk(r)
	}
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a failing reader gave %v", err)
	}
	if _, err := pcapfile.NewReader(stuck{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing gave %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// Progress, Stats and Interfaces may be called while another goroutine walks.
func TestWatchedWalk(t *testing.T) {
	f := little().section()
	for range 200 {
		f.named(1, "eth0")
		for range 100 {
			f.enhanced(0, 0, strings.Repeat("x", 60))
		}
	}
	r, err := pcapfile.Open(file(t, f.b))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Walk(func(*frame.Frame) {}); err != nil {
			t.Error(err)
		}
	}()
	for last := uint64(0); ; {
		read, total := r.Progress()
		s := r.Stats()
		if read > total || s.Frames < last || len(r.Interfaces()) > 200 {
			t.Errorf("%d of %d bytes, %d frames after %d", read, total, s.Frames, last)
		}
		last = s.Frames
		select {
		case <-done:
			if s := r.Stats(); s.Frames != 20_000 || s.Bytes != 60*20_000 {
				t.Errorf("%+v", s)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

// A walk allocates the same for ten frames as for ten thousand.
func TestFramesDoNotAllocate(t *testing.T) {
	for name, write := range map[string]func(testing.TB, *bytes.Buffer, int, int){"pcap": writePcap, "pcapng": writePcapng} {
		allocations := func(frames int) float64 {
			var buf bytes.Buffer
			write(t, &buf, frames, 100)
			return testing.AllocsPerRun(5, func() {
				r, err := pcapfile.NewReader(bytes.NewReader(buf.Bytes()))
				if err == nil {
					err = r.Walk(func(*frame.Frame) {})
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		if few, many := allocations(10), allocations(10_000); many > few {
			t.Errorf("%s: %v allocations for 10 frames, %v for 10,000", name, few, many)
		}
	}
}

// A file that claims much makes a reader take no more memory than its buffer.
func TestClaimsCostNothing(t *testing.T) {
	claims := [][]byte{
		little().pcap(micros, 1).u32(0, 0, 0x7fffffff, 0x7fffffff).b,
		little().section().named(1, "x").u32(6, 0x7ffffffc, 0, 0, 0, 0x7fffffff, 0x7fffffff).b,
		little().section().u32(0x0bad, 0xfffffffc, 0, 0).b,
		little().section().u32(1, 0x7ffffffc, 1, 0).u16(2, 0xffff).b,
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, claim := range claims {
		if _, _, err := read(claim); err == nil {
			t.Error("a claim was believed")
		}
	}
	runtime.ReadMemStats(&after)
	if per := (after.TotalAlloc - before.TotalAlloc) / uint64(len(claims)); per > 1<<20+1<<16 {
		t.Errorf("%d bytes are taken for a file of less than 100", per)
	}
}
