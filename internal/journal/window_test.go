package journal

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
)

// The window against a set that forgets nothing, with numbers in the disorder that a network makes.
func TestWindowAgainstSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var w window
	taken := make(map[uint64]bool)
	floor := uint64(0)
	for step := range 200_000 {
		seq := floor + random.Uint64N(1000)
		if want := !taken[seq]; w.take(seq, floor) != want {
			t.Fatalf("step %d: take(%d, %d) is %t", step, seq, floor, !want)
		}
		taken[seq] = true
		if random.IntN(100) == 0 { // given up
			taken[floor] = true
		}
		for taken[floor] {
			floor++
		}
	}
}

func TestWindowFloor(t *testing.T) {
	var w window
	for _, step := range []struct {
		seq, floor uint64
		want       bool
		why        string
	}{
		{0, 0, true, "the first"},
		{0, 0, false, "again"},
		{5, 5, true, "numbers between were given up, or are late"},
		{3, 5, true, "late, within the lag"},
		{2000, 2000, true, "far ahead"},
		{4, 2000, false, "below the sender's floor by more than the lag"},
		{1500, 2000, true, "within the lag"},
		{1 << 62, 1 << 62, true, "a jump"},
		{2001, 2001, false, "left behind by the jump"},
	} {
		if got := w.take(step.seq, step.floor); got != step.want {
			t.Errorf("take(%d, %d) is %t: %s", step.seq, step.floor, got, step.why)
		}
	}
}

// A sensor's ninth boot pushes the first one out; a batch of a boot that is not known any more is never skipped.
func TestBoots(t *testing.T) {
	var w windows
	for boot := range uint64(maxBoots + 1) {
		if !w.take(boot+1, 0, 0) || w.take(boot+1, 0, 0) {
			t.Fatalf("boot %d", boot+1)
		}
	}
	if len(w) != maxBoots || !w.take(1, 0, 0) || !w.take(1, 0, 0) {
		t.Error("a forgotten boot must be taken each time")
	}
	if w.take(2, 0, 0) {
		t.Error("the oldest boot that is known was forgotten")
	}
}

// testTime is a journal time, in seconds.
const testTime = 1_700_000_000

func filledCheckpoint() *checkpoint {
	c := newCheckpoint()
	c.writer, c.created, c.position, c.number, c.other = "writer-1", 12345, 678, 91011, 777
	c.config = "as before"
	c.edges = []edge{{91010, 700, Tick}, {91011, 700, Full}}
	for i := range 20 {
		for boot := range uint64(3) {
			for seq := range uint64(300) {
				if seq%7 != uint64(i)%7 {
					c.take(mark{"edge-" + strconv.Itoa(i), boot + 1, seq, 0}, testTime)
				}
			}
		}
	}
	return c
}

func TestCheckpointCoding(t *testing.T) {
	c := filledCheckpoint()
	coded := c.append(nil)
	back, err := readCheckpoint(coded)
	if err != nil || !reflect.DeepEqual(c, back) {
		t.Fatalf("read back: %v", err)
	}
	for n := range coded {
		if _, err := readCheckpoint(coded[:n]); err == nil {
			t.Fatalf("a checkpoint cut to %d octets of %d is accepted", n, len(coded))
		}
	}
	newer := append([]byte{checkpointVersion + 1}, coded[1:]...)
	if _, err := readCheckpoint(newer); !errors.Is(err, errVersion) {
		t.Errorf("a newer collector's: %v", err)
	}
	d := c.clone()
	d.take(mark{"edge-1", 3, 9999, 9999}, testTime)
	if !reflect.DeepEqual(c, back) {
		t.Error("a clone shares its windows")
	}
}

// The sensors that fit into a message of a NATS server as it comes, of 1 MiB: each with eight boots, a little disorder in the
// newest, and numbers from anywhere.
func TestCheckpointSize(t *testing.T) {
	const sensors = 6000
	c := newCheckpoint()
	for i := range uint64(sensors) {
		id := "sensor-with-a-name-" + strconv.FormatUint(i, 10)
		for boot := range uint64(maxBoots) {
			first := 1_000_000 + i*37 + boot*1001
			for seq := first; seq < first+100; seq++ {
				c.take(mark{id, boot + 1, seq, first + floorLag}, testTime)
			}
		}
		c.take(mark{id, maxBoots, 1_000_000 + i*37 + (maxBoots-1)*1001 + 130, 0}, testTime)
	}
	if n := len(c.append(nil)); n > 1<<20 {
		t.Errorf("the checkpoint of %d sensors takes %d octets", sensors, n)
	}
}

// Who was not heard for long is forgotten, and nobody else, whatever one clock says.
func TestCheckpointForgets(t *testing.T) {
	const day = 24 * 3600
	c := newCheckpoint()
	c.take(mark{"gone", 1, 1, 1}, testTime)
	c.take(mark{"seldom", 1, 1, 1}, testTime)
	c.forget(testTime)
	c.take(mark{"seldom", 1, 2, 1}, testTime+60*day)
	c.take(mark{"always", 1, 1, 1}, testTime+91*day)
	c.forget(testTime + 91*day)
	if len(c.sensors) != 3 {
		t.Error("forgotten as soon as the clock leapt: who lives had no time to be heard")
	}
	c.forget(testTime + 91*day + forgetEvery)
	if c.sensors["gone"] != nil || c.sensors["seldom"] == nil || c.sensors["always"] == nil {
		t.Errorf("%d sensors are known", len(c.sensors))
	}
	if c.take(mark{"seldom", 1, 2, 1}, testTime+91*day) {
		t.Error("what is known of one was forgotten")
	}
	c.forget(testTime - 400*day) // the clock was set back
	if len(c.sensors) != 2 {
		t.Errorf("%d sensors are known", len(c.sensors))
	}
}

// What either of two windows knows the merged one knows, and nothing else.
func TestMergedWindows(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var a, b window
		most := 1 + random.Uint64N(6000)
		for range 400 {
			w := &a
			if random.IntN(2) == 0 {
				w = &b
			}
			seq := random.Uint64N(most)
			w.take(seq, seq/2)
		}
		merged := a
		merged.merge(&b)
		for seq := range most {
			if got, want := merged.knows(seq), a.knows(seq) || b.knows(seq); got != want {
				t.Fatalf("number %d of %d: known %t, want %t", seq, most, got, want)
			}
		}
	}
}

// knows reports whether a number counts as taken, without taking it.
func (w window) knows(seq uint64) bool { return !w.take(seq, 0) }

func FuzzCheckpoint(f *testing.F) {
	f.Add(filledCheckpoint().append(nil))
	f.Add(newCheckpoint().append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := readCheckpoint(data)
		if err != nil {
			return
		}
		again, err := readCheckpoint(c.append(nil))
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("not the same when coded again: %v", err)
		}
	})
}
