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

func filledCheckpoint() *checkpoint {
	c := newCheckpoint()
	c.writer, c.created, c.position, c.number = "writer-1", 12345, 678, 91011
	c.config = "as before"
	c.edges = []edge{{91010, 700, Tick}, {91011, 700, Full}}
	for i := range 20 {
		for boot := range uint64(3) {
			for seq := range uint64(300) {
				if seq%7 != uint64(i)%7 {
					c.take(mark{"edge-" + strconv.Itoa(i), boot + 1, seq, 0})
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
	d.take(mark{"edge-1", 3, 9999, 9999})
	if !reflect.DeepEqual(c, back) {
		t.Error("a clone shares its windows")
	}
}

// A thousand sensors, each with eight boots and disorder in the newest, fit into a message of a NATS server as it comes.
func TestCheckpointSize(t *testing.T) {
	c := newCheckpoint()
	for i := range 1000 {
		for boot := range uint64(maxBoots) {
			for seq := range uint64(100) {
				c.take(mark{"sensor-with-a-name-" + strconv.Itoa(i), boot + 1, seq, 0})
			}
		}
		c.take(mark{"sensor-with-a-name-" + strconv.Itoa(i), maxBoots, 1100, 0})
	}
	if n := len(c.append(nil)); n > 512<<10 {
		t.Errorf("the checkpoint of 1000 sensors takes %d octets", n)
	}
}

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
