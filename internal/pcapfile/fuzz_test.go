package pcapfile_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/iotest"

	"flowsensor/internal/flow"
	"flowsensor/internal/pcapfile"
)

// FuzzRead: whatever the file holds, reading ends; what is visited is within bounds and counted; and the same frames come
// when the bytes come in other pieces.
func FuzzRead(f *testing.F) {
	for _, b := range []*builder{little(), bigEndian()} {
		f.Add((&builder{order: b.order}).pcap(micros, 1).frame(1, 2, "abc").frame(3, 4, "").b)
		f.Add((&builder{order: b.order}).pcap(0xa1b2cd34, 101).u32(7, 5, 3, 9, 2, 0).raw('a', 'b', 'c').b)
		f.Add((&builder{order: b.order}).u32(nanos).u16(2, 3).u32(0, 0, 0, 1, 1, 1, 9, 3).raw('a', 'b', 'c').b)
		ng := (&builder{order: b.order}).section().named(1, "eth0").enhanced(0, 7, "abc")
		ng.block(2, b.body().u16(0, 7).u32(0, 2, 2, 60).raw('o', 'b').b).block(3, b.body().u32(3).raw('s', 'p', 'b').b)
		ng.block(0xbad, make([]byte, 9)).describe(101, b.body().option(9, 0x8a).option(14, 0, 0, 0, 0, 0, 0, 0, 1).b)
		f.Add(ng.enhanced(1, 1<<40, "x").section().b)
	}
	f.Add(gzipped(f, little().pcap(micros, 1).frame(1, 2, "abc").b))
	f.Fuzz(func(t *testing.T, file []byte) {
		frames, r, err := read(file)
		if r == nil {
			if err == nil {
				t.Fatal("neither a reader nor an error")
			}
			return
		}
		captured := uint64(0)
		for _, f := range frames {
			captured += uint64(len(f.Data))
			if int64(f.Len) < int64(len(f.Data)) || f.Time < 0 || f.Time > flow.MaxTime {
				t.Errorf("%+v", f)
			}
		}
		if s := r.Stats(); s.Frames != uint64(len(frames)) || s.Bytes != captured || s.Untimed > s.Frames || s.Overlong > s.Frames || s.Clamped > s.Frames {
			t.Errorf("%+v, but %d frames with %d bytes were visited", s, len(frames), captured)
		}
		slow, openErr := pcapfile.NewReader(iotest.OneByteReader(bytes.NewReader(file)))
		if openErr != nil {
			t.Fatalf("byte by byte it does not open: %v", openErr)
		}
		again, againErr := walk(slow)
		if !slices.Equal(frames, again) || (err == nil) != (againErr == nil) {
			t.Errorf("byte by byte %d frames and %v, at once %d and %v", len(again), againErr, len(frames), err)
		}
	})
}
