package pcapfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"flowsensor/internal/frame"
	"flowsensor/internal/pcapfile"
)

const second = int64(1e9)

func TestPcapByteOrdersAndMagics(t *testing.T) {
	for _, f := range []*builder{little(), bigEndian()} {
		order := f.order
		mustRead(t, f.pcap(micros, 1).frame(7, 5, "abc").frame(8, 999999, "").b,
			seen{"abc", 7*second + 5000, 3, 0, frame.Ethernet}, seen{"", 8*second + 999999000, 0, 0, frame.Ethernet})
		f = &builder{order: order}
		mustRead(t, f.pcap(nanos, 101).frame(7, 5, "abc").b, seen{"abc", 7*second + 5, 3, 0, frame.Raw})
		f = &builder{order: order}
		modified := f.pcap(0xa1b2cd34, 113).u32(7, 5, 3, 9).u32(2).u16(0x800).raw(0, 0).raw('a', 'b', 'c')
		mustRead(t, modified.b, seen{"abc", 7*second + 5000, 9, 0, frame.SLL})
	}
}

func TestPcapLengths(t *testing.T) {
	header := func(major, minor uint16) *builder { return little().u32(micros).u16(major, minor).u32(0, 0, 2, 1) }
	cut := seen{"abc", second, 9, 0, frame.Ethernet}
	mustRead(t, header(2, 4).u32(1, 0, 3, 9).raw('a', 'b', 'c').b, cut) // above the snap length, too
	mustRead(t, header(2, 3).u32(1, 0, 3, 9).raw('a', 'b', 'c').b, cut)
	mustRead(t, header(2, 3).u32(1, 0, 9, 3).raw('a', 'b', 'c').b, cut)
	mustRead(t, header(543, 0).u32(1, 0, 9, 3).raw('a', 'b', 'c').b, cut)
	mustRead(t, header(2, 2).u32(1, 0, 9, 3).raw('a', 'b', 'c').b, cut)
	r := mustRead(t, header(2, 4).u32(1, 0, 3, 2).raw('a', 'b', 'c').b, seen{"abc", second, 3, 0, frame.Ethernet})
	if s := r.Stats(); s != (pcapfile.Stats{Frames: 1, Bytes: 3, Overlong: 1}) {
		t.Errorf("%+v", s)
	}
	for _, version := range [][2]uint16{{1, 4}, {2, 5}, {3, 0}, {543, 1}} {
		mustFail(t, header(version[0], version[1]).b, 0, pcapfile.ErrFormat)
	}
}

// The seconds are unsigned, so that files go on until 2106. A fraction of more than a second is added as it stands, and a
// negative one, which clocks before 1970 made, too.
func TestPcapTimes(t *testing.T) {
	f := little().pcap(micros, 1).frame(math.MaxUint32, 0, "").frame(1, math.MaxInt32, "")
	f.frame(9, math.MaxUint32, "").frame(0, math.MaxUint32, "")
	r := mustRead(t, f.b,
		seen{Time: math.MaxUint32 * second, Link: frame.Ethernet}, seen{Time: second + math.MaxInt32*1000, Link: frame.Ethernet},
		seen{Time: 9*second - 1000, Link: frame.Ethernet}, seen{Time: 0, Link: frame.Ethernet})
	if s := r.Stats(); s.Clamped != 1 {
		t.Errorf("%+v", s)
	}
}

func TestPcapLinkTypes(t *testing.T) {
	// The upper bits tell of the frame check sequence's length.
	mustRead(t, little().pcap(micros, 0x54000001).frame(1, 0, "a").b, seen{"a", second, 1, 0, frame.Ethernet})
	for link, name := range map[uint32]string{127: "IEEE802_11_RADIO (127)", 147: "USER0 (147)", 0x300000: "3145728"} {
		_, _, err := read(little().pcap(micros, link).frame(1, 0, "a").b)
		if !errors.Is(err, pcapfile.ErrLinkType) || !strings.Contains(err.Error(), name) {
			t.Errorf("link type %d: %v", link, err)
		}
	}
}

func TestPcapHostileLength(t *testing.T) {
	for _, length := range []uint32{math.MaxUint32, 1 << 31, 1 << 20} {
		mustFail(t, little().pcap(micros, 1).frame(1, 0, "a").u32(2, 0, length, length).raw(make([]byte, 5000)...).b, 1, pcapfile.ErrDamaged)
	}
	longest := strings.Repeat("x", 512<<10)
	mustRead(t, little().pcap(micros, 1).frame(1, 0, longest).frame(1, 0, "a").frame(1, 0, longest).b,
		seen{longest, second, 512 << 10, 0, frame.Ethernet}, seen{"a", second, 1, 0, frame.Ethernet},
		seen{longest, second, 512 << 10, 0, frame.Ethernet})
}

// A file that was cut anywhere gives every whole frame, and an error unless the cut is between frames.
func TestCutFiles(t *testing.T) {
	pcap := little().pcap(micros, 1)
	pcapStarts := []int{len(pcap.b)}
	ng := bigEndian().section().named(1, "eth0")
	ngStarts := []int{len(ng.b)}
	for _, data := range []string{"abc", "", "defgh"} {
		pcapStarts = append(pcapStarts, len(pcap.frame(1, 0, data).b))
		ngStarts = append(ngStarts, len(ng.enhanced(0, 0, data).b))
	}
	sectionEnd := 28
	cut(t, pcap.b, pcapStarts, nil)
	cut(t, ng.b, ngStarts, []int{sectionEnd})
}

// cut cuts a file everywhere. starts is where its frames begin and the last one ends; clean is where else a cut goes
// unnoticed.
func cut(t *testing.T, file []byte, starts, clean []int) {
	t.Helper()
	for n := 1; n <= len(file); n++ {
		whole, proper := 0, false
		for i, start := range starts {
			if n >= start {
				whole = i
			}
			proper = proper || n == start
		}
		for _, c := range clean {
			proper = proper || n == c
		}
		frames, _, err := read(file[:n])
		if len(frames) != whole {
			t.Errorf("cut at %d: %d frames, want %d", n, len(frames), whole)
		}
		switch {
		case proper && err != nil:
			t.Errorf("cut at %d, between frames: %v", n, err)
		case n < 4 && !errors.Is(err, pcapfile.ErrFormat):
			t.Errorf("cut at %d: %v", n, err)
		case n >= 4 && !proper && (!errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "byte ")):
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestCutGzip(t *testing.T) {
	f := little().pcap(micros, 1)
	for range 1000 {
		f.frame(1, 0, strings.Repeat("abcdefgh", 100))
	}
	packed := gzipped(t, f.b)
	r, err := pcapfile.NewReader(bytes.NewReader(packed[:len(packed)/2]))
	if err != nil {
		t.Fatal(err)
	}
	frames, err := walk(r)
	if len(frames) == 0 || len(frames) >= 1000 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d frames of half a gzip file, %v", len(frames), err)
	}
	packed[len(packed)-6] ^= 1 // the checksum
	if frames, _, err := read(packed); len(frames) != 1000 || !errors.Is(err, gzip.ErrChecksum) {
		t.Errorf("%d frames of a gzip file with a wrong checksum, %v", len(frames), err)
	}
}

func TestNoFrames(t *testing.T) {
	mustRead(t, little().pcap(micros, 1).b)
	mustRead(t, little().section().b)
	mustRead(t, little().section().named(1, "eth0").b)
	mustRead(t, gzipped(t, little().pcap(micros, 1).b))
}

func TestForeignFiles(t *testing.T) {
	dnstap := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0, 0, 0, 0, 34}, 2)
	for content, want := range map[string]string{
		"":                                  "empty",
		"\xd4\xc3":                          "only 2 bytes",
		"snoop\x00\x00\x00\x00\x00\x00\x02": "snoop",
		string(dnstap) + "....":             "frame stream",
		"hello, world, this is text":        `text: it begins with "hello, world, th"`,
		"\x28\xb5\x2f\xfd....":              "zstd",
		"\x00\x05\x00\x01\x6a\x66":          "begins with 000500016a66",
		string(gzipped(t, []byte("PK\x03\x04..."))):                         "zip archive",
		string(gzipped(t, gzipped(t, []byte("a b c d")))):                   "gzip within gzip",
		string(gzipped(t, nil)):                                             "empty",
		strings.Repeat("\x00", 257) + "ustar" + strings.Repeat("\x00", 300): "tar archive",
	} {
		_, err := pcapfile.NewReader(strings.NewReader(content))
		if !errors.Is(err, pcapfile.ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", content, err, want)
		}
	}
}
