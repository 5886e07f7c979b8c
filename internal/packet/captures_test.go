package packet_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
	"flowsensor/internal/pcapfile"
)

// capturesFolder holds captures that others made, where the machine has them.
const capturesFolder = "../../../shared/pcaps"

// captures lists the capture files in those folders of it, none where it is absent.
func captures(folders ...string) []string {
	var paths []string
	for _, folder := range folders {
		_ = filepath.WalkDir(filepath.Join(capturesFolder, folder), func(path string, e fs.DirEntry, err error) error {
			name := strings.TrimSuffix(path, ".gz")
			if err == nil && e.Type().IsRegular() && (strings.HasSuffix(name, ".pcap") || strings.HasSuffix(name, ".pcapng")) {
				paths = append(paths, path)
			}
			return nil
		})
	}
	return paths
}

func needCaptures(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(capturesFolder); err != nil {
		t.Skip("the folder of captures is not on this machine: ", err)
	}
}

// walk hands over the frames of a capture file, up to where it is damaged.
func walk(path string, visit func(*frame.Frame)) error {
	r, err := pcapfile.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Walk(visit)
}

// firstFrame copies the first frame of a file.
func firstFrame(path string) (frame.Frame, bool) {
	var first frame.Frame
	found := false
	_ = walk(path, func(f *frame.Frame) {
		if !found {
			first, found = *f, true
			first.Data = bytes.Clone(f.Data[:min(len(f.Data), 400)])
		}
	})
	return first, found
}

// TestEveryCaptureIsDecoded goes over all captures, malformed ones too: no panic, and every frame is accounted or counted.
func TestEveryCaptureIsDecoded(t *testing.T) {
	needCaptures(t)
	var frames, accounted uint64
	d := packet.NewDecoder(packet.Config{})
	for _, path := range captures("mixed", "edge", "dns", "malformed", "netflow") {
		_ = walk(path, func(f *frame.Frame) { // what is wrong with the file itself is pcapfile's to test
			var p flow.Packet
			frames++
			if d.Decode(&p, f) == packet.OK {
				accounted++
			}
		})
	}
	s := d.Stats()
	if refused := s.RefusedTotal().Frames; accounted+refused != frames || accounted < 100_000 {
		t.Errorf("%d frames, %d accounted, %d refused", frames, accounted, refused)
	}
	for r, c := range s.Refused {
		if c.Frames > 0 {
			t.Logf("%-18s %7d", packet.Reason(r), c.Frames)
		}
	}
	for n, c := range s.Notes {
		t.Logf("%-18s %7d", packet.Note(n), c)
	}
}
