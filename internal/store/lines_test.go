package store_test

import (
	"fmt"
	"strings"
	"testing"

	"flowsensor/internal/store"
)

func numbered(n int) store.Lines {
	var lines store.Lines
	for i := range n {
		lines.Append(fmt.Appendf(nil, "m v=%di\n", i), store.Count{Records: 1, Packets: 2, Bytes: uint64(i)})
	}
	return lines
}

func TestLinesSlice(t *testing.T) {
	lines := numbered(12)
	for i := range 13 {
		for j := i; j <= 12; j++ {
			view := lines.Slice(i, j)
			var text strings.Builder
			var count store.Count
			for k := i; k < j; k++ {
				fmt.Fprintf(&text, "m v=%di\n", k)
				count = store.Count{Records: count.Records + 1, Packets: count.Packets + 2, Bytes: count.Bytes + uint64(k)}
			}
			if view.Len() != j-i || string(view.Bytes()) != text.String() || view.Count() != count {
				t.Fatalf("[%d:%d]: %d lines %q %+v", i, j, view.Len(), view.Bytes(), view.Count())
			}
			if j > i {
				if again := view.Slice(view.Len()-1, view.Len()); string(again.Bytes()) != fmt.Sprintf("m v=%di\n", j-1) {
					t.Fatalf("last of [%d:%d]: %q", i, j, again.Bytes())
				}
			}
		}
	}
}

func TestLinesViewDoesNotGrowIntoOthers(t *testing.T) {
	lines := numbered(3)
	view := lines.Slice(0, 1)
	view.Append([]byte("x v=1i\n"), store.Count{})
	if got := string(lines.Slice(1, 2).Bytes()); got != "m v=1i\n" {
		t.Errorf("the second line became %q", got)
	}
}
