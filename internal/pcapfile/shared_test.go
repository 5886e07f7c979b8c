package pcapfile_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"

	"flowsensor/internal/pcapfile"
)

const shared = "../../../shared/pcaps"

// otherFormats are files that capinfos reads and we do not.
var otherFormats = map[string]bool{
	"edge/fmt-erf-100.erf": true, "edge/fmt-solaris.snoop": true,
	"malformed/libpcap-fmt-pcap-invalid-version-2.pcap": true, // version 2.5, refused by libpcap too
}

// oddFractions are files with frames whose fraction of a second is none, which pcapgo reads otherwise (wrapped in 32 bits).
var oddFractions = map[string]bool{
	"fmt-negative-timestamps.pcap": true, "ndpi-fuzz-2021-06-07-c6c72a0a56.pcap": true,
	"tcpdump-rx_serviceid_oobr.pcap": true, "tcpdump-timestamp_invalid_micro.pcap": true,
	"tcpdump-timestamp_invalid_nano.pcap": true,
}

// knownLinks are the decoder's link types as capinfos calls them. In files of several, another may be among them.
var knownLinks = map[string]bool{
	"ether": true, "linux-sll": true, "linux-sll2": true, "null": true, "ppp": true, "per-packet": true,
	"rawip": true, "rawip4": true, "rawip6": true, "unknown": true,
}

// TestSharedCaptures reads every file of the collection and compares the number of frames with the one that Wireshark's
// capinfos found, for damaged files too.
func TestSharedCaptures(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(shared, "INDEX.tsv"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the collection of captures is not at " + shared)
	}
	if err != nil {
		t.Fatal(err)
	}
	files, compared := 0, 0
	for line := range strings.Lines(string(index)) {
		row := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if row[0] == "file" {
			continue
		}
		files++
		name, link := row[0], row[3]
		path := filepath.Join(shared, name)
		frames, err := readFile(path)
		want, notCounted := strconv.Atoi(row[2])
		switch {
		case errors.Is(err, pcapfile.ErrLinkType):
			if knownLinks[link] {
				t.Errorf("%s (%s): %v", name, link, err)
			}
			continue
		case errors.Is(err, pcapfile.ErrFormat):
			if notCounted == nil && !otherFormats[name] {
				t.Errorf("%s: %v", name, err)
			}
			continue
		case notCounted == nil && len(frames) != want:
			t.Errorf("%s: %d frames, capinfos has %d (%v)", name, len(frames), want, err)
		}
		compareWithLibrary(t, path, frames)
		compared++
	}
	if compared < 600 {
		t.Errorf("only %d of %d files were compared", compared, files)
	}
}

func readFile(path string) (frames []seen, err error) {
	r, err := pcapfile.Open(path)
	if err != nil {
		return nil, err
	}
	frames, err = walk(r)
	return frames, errors.Join(err, r.Close())
}

// compareWithLibrary reads the file with gopacket's pcapgo, too, as far as that gets, and compares frame by frame.
func compareWithLibrary(t *testing.T, path string, frames []seen) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var r gopacket.PacketDataSource
	if r, err = pcapgo.NewNgReader(bufio.NewReader(f), pcapgo.NgReaderOptions{WantMixedLinkType: true}); err != nil {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if r, err = pcapgo.NewReader(f); err != nil {
			return
		}
	}
	for i, got := range frames {
		data, ci, err := r.ReadPacketData()
		if err != nil {
			return
		}
		stamp := ci.Timestamp.UnixNano()
		if ci.Timestamp.IsZero() || oddFractions[filepath.Base(path)] {
			stamp = got.Time // a simple packet block has no time there
		}
		if string(data) != got.Data || stamp != got.Time || uint32(ci.Length) != got.Len {
			t.Errorf("%s: frame %d has %d of %d bytes at %d, in pcapgo %d of %d at %d",
				path, i+1, len(got.Data), got.Len, got.Time, len(data), ci.Length, stamp)
			return
		}
	}
}
