package hugemem_test

import (
	"errors"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/hugemem"
	"flowsensor/internal/testgate"
)

type line struct {
	words [7]uint64
	tail  struct{ a, b uint16 }
}

func TestBlockIsZeroedAndWritable(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 100_000} {
		b, err := hugemem.Make[line](n)
		if err != nil {
			t.Fatal(err)
		}
		s := b.Slice()
		if len(s) != n || cap(s) != n {
			t.Fatalf("%d values asked for, got %d of %d", n, len(s), cap(s))
		}
		if dirty := slices.IndexFunc(s, func(l line) bool { return l != line{} }); dirty >= 0 {
			t.Errorf("value %d of %d is %v", dirty, n, s[dirty])
		}
		for i := range s {
			s[i].words[0], s[i].tail.b = uint64(i), uint16(i)
		}
		for i := range s {
			if s[i].words[0] != uint64(i) || s[i].tail.b != uint16(i) {
				t.Fatalf("value %d is %v", i, s[i])
			}
		}
		if err := errors.Join(b.Close(), b.Close()); err != nil || b.Slice() != nil {
			t.Errorf("closed twice: %v, slice of %d", err, len(b.Slice()))
		}
	}
}

func TestPointersAreRefused(t *testing.T) {
	refuse := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, hugemem.ErrPointers) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err := hugemem.Make[*int](1)
	refuse("pointer", err)
	_, err = hugemem.Make[string](1)
	refuse("string", err)
	_, err = hugemem.Make[[2]struct{ s []byte }](1)
	refuse("slice inside", err)
	_, err = hugemem.Make[any](1)
	refuse("interface", err)
	_, err = hugemem.Make[struct{ p uintptr }](1)
	refuse("uintptr, which is a pointer in disguise", err)
}

func TestImpossibleSizes(t *testing.T) {
	for _, n := range []int{-1, int(^uint(0) >> 1), int(^uint(0)>>1) / 60} {
		if _, err := hugemem.Make[line](n); !errors.Is(err, unix.ENOMEM) {
			t.Errorf("%d values: got %v", n, err)
		}
	}
}

func TestNilBlockCloses(t *testing.T) {
	var b *hugemem.Block[int64]
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// mapped is the size of this process's address space in bytes.
func mapped(t *testing.T) int {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal("no /proc to read the memory from:", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[0])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestForgottenBlockIsUnmapped: a block nobody closed goes with the garbage.
func TestForgottenBlockIsUnmapped(t *testing.T) {
	const size = 1 << 30
	before := mapped(t)
	b, err := hugemem.Make[uint64](size / 8)
	if err != nil {
		t.Fatal(err)
	}
	b.Slice()[0] = 1
	if mapped(t)-before < size {
		t.Fatal("the block is not mapped")
	}
	runtime.KeepAlive(b)
	for deadline := time.Now().Add(5 * time.Second); mapped(t)-before >= size; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("the forgotten block is still mapped")
		}
		runtime.Gosched()
	}
}

// TestHugePages: where the kernel gives huge pages at all, a big block is on them.
func TestHugePages(t *testing.T) {
	mode, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(mode), "[never]") {
		testgate.Skip(t, "this kernel gives no transparent huge pages")
	}
	b, err := hugemem.Make[byte](64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i := 0; i < len(b.Slice()); i += 4096 {
		b.Slice()[i] = 1
	}
	smaps, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		testgate.Skip(t, "no smaps_rollup: ", err)
	}
	found := regexp.MustCompile(`AnonHugePages: +(\d+) kB`).FindSubmatch(smaps)
	if found == nil {
		testgate.Skip(t, "the kernel does not count huge pages")
	}
	if kB, err := strconv.Atoi(string(found[1])); err != nil || kB == 0 {
		testgate.Skipf(t, "the kernel had no huge page left (%d kB, %v)", kB, err)
	} else if kB < 32<<10 {
		t.Errorf("only %d kB of 64 MiB are on huge pages", kB)
	}
}
