package packet_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
	"flowsensor/internal/packet/dissect"
	"flowsensor/internal/pcapfile"
	"flowsensor/internal/testgate"
)

func needTshark(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		testgate.Skip(t, "tshark is not installed (apt-get install tshark): ", err)
	}
}

// ours decodes a frame and puts it in the words of the reference.
func ours(d *packet.Decoder, f *frame.Frame) (dissect.Frame, packet.Reason) {
	p := stale()
	r := d.Decode(&p, f)
	if r != packet.OK {
		return dissect.Frame{}, r
	}
	return dissect.Frame{
		Version: p.Version, Src: p.Src.Netip(p.Version), Dst: p.Dst.Netip(p.Version), SrcPort: p.SrcPort, DstPort: p.DstPort,
		Proto: p.Proto, ToS: p.ToS, Flags: p.TCPFlags, HasFlags: p.Proto == flow.ProtoTCP, Bytes: p.Bytes,
	}, r
}

// expected is what the decoder has to say where tshark says want and it says got. These are all the differences that are
// meant:
//
//   - Ethernet in MPLS is not IP here; tshark guesses.
//   - Later fragments have the ports and the protocol of their first one here; tshark has none and the next header as given.
//   - tshark shows no flags of a TCP header whose data offset is none.
func expected(want, got dissect.Frame) dissect.Frame {
	if link, _, _ := strings.Cut(want.Protocols, ":ip"); strings.Contains(link, ":mpls:pw") {
		return dissect.Frame{}
	}
	if want.Later {
		want.SrcPort, want.DstPort = got.SrcPort, got.DstPort
		if dissect.IsExtension(want.Proto) && want.Version == 6 {
			want.Proto = got.Proto
		}
	}
	if !want.HasFlags {
		want.Flags, want.HasFlags = got.Flags, got.HasFlags
	}
	want.Protocols, want.Later = "", false
	return want
}

// TestAgreesWithTshark compares every frame of every capture, which is more than the same sums per flow.
func TestAgreesWithTshark(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; the long run has it")
	}
	needCaptures(t)
	needTshark(t)
	for _, path := range captures("mixed", "edge", "dns") {
		t.Run(strings.TrimPrefix(path, capturesFolder+"/"), func(t *testing.T) {
			t.Parallel()
			agree(t, path)
		})
	}
}

func dissected(t *testing.T, path string) []dissect.Frame {
	t.Helper()
	frames, err := dissect.File(path)
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

func agree(t *testing.T, path string) {
	t.Helper()
	var frames []dissect.Frame
	var reasons []packet.Reason
	d := packet.NewDecoder(packet.Config{})
	err := walk(path, func(f *frame.Frame) {
		got, r := ours(d, f)
		frames, reasons = append(frames, got), append(reasons, r)
	})
	if errors.Is(err, pcapfile.ErrLinkType) || errors.Is(err, pcapfile.ErrFormat) {
		t.Skip("refused by name: ", err)
	}
	truth := dissected(t, path)
	if len(truth) != len(frames) {
		t.Fatalf("%d frames, tshark has %d (%v)", len(frames), len(truth), err)
	}
	for i, want := range truth {
		if want := expected(want, frames[i]); frames[i] != want {
			t.Errorf("frame %d (%v)\n got %v\nwant %v", i+1, reasons[i], frames[i], truth[i])
		}
	}
}

// TestOwnFramesAgreeWithTshark compares the frames of the other tests, whole and cut at every octet.
func TestOwnFramesAgreeWithTshark(t *testing.T) {
	needTshark(t)
	for link, frames := range ownFrames() {
		t.Run(link.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "frames.pcap")
			write(t, path, link, frames)
			for i, want := range dissected(t, path) {
				f := &frames[i]
				got, r := ours(packet.NewDecoder(packet.Config{MaxFragments: 4}), f)
				if want := expectedOfCut(f, want, got); got != want {
					t.Errorf("%d of %d octets (%v): %x\n got %v\nwant %v", len(f.Data), f.Len, r, f.Data, got, want)
				}
			}
		})
	}
}

// expectedOfCut adds what is different where the capture ends within a header: tshark wants more of some headers before it
// shows any of their fields, and does not show the destination before it has looked for a source route in the IPv4 options.
func expectedOfCut(f *frame.Frame, want, got dissect.Frame) dissect.Frame {
	inOptions := want.Version == 0 && strings.HasSuffix(want.Protocols, ":ip")
	want = expected(want, got)
	if len(f.Data) == int(f.Len) {
		return want
	}
	if inOptions && got.Version == 4 {
		return got
	}
	want.SrcPort, want.DstPort, want.Flags, want.Proto = got.SrcPort, got.DstPort, got.Flags, got.Proto
	return want
}

// ownFrames gives the frames of the other tests by link type.
func ownFrames() map[frame.LinkType][]frame.Frame {
	frames := map[frame.LinkType][]frame.Frame{}
	add := func(f frame.Frame) {
		for n := range f.Data {
			cut := f
			cut.Data = f.Data[:n]
			frames[f.Link] = append(frames[f.Link], cut)
		}
		frames[f.Link] = append(frames[f.Link], f)
	}
	for _, v := range versions {
		h := ip{version: v, proto: 6}
		for _, row := range linkRows() {
			if row.tshark {
				add(on(row.link, row.build(h, h.wrap(tcpSYN))))
			}
		}
	}
	for _, c := range benchFrames() {
		add(on(frame.Ethernet, c.data))
	}
	return frames
}

func write(t *testing.T, path string, link frame.LinkType, frames []frame.Frame) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	w := pcapgo.NewWriter(file)
	if err := w.WriteFileHeader(262144, layers.LinkType(link)); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(0, f.Time), CaptureLength: len(f.Data), Length: int(f.Len)}
		if err := w.WritePacket(info, f.Data); err != nil {
			t.Fatal(err)
		}
	}
}
