package sensor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/packet/dissect"
	"flowsensor/internal/pcapfile"
	"flowsensor/internal/sensor"
	"flowsensor/internal/testgate"
)

// tuple is a flow key as tshark knows it; ports is "" where fragments are compared per source, destination and protocol.
type tuple struct {
	src, dst netip.Addr
	ports    string
	proto    uint8
	tos      string
}

type sum struct{ packets, bytes uint64 }

// TestReadAgreesWithTshark reads every capture at hand and wants, per flow key, tshark's packets and IP bytes.
func TestReadAgreesWithTshark(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; the long run has it")
	}
	const folder = "../../../shared/pcaps"
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the folder of captures is not on this machine: ", err)
	}
	if _, err := exec.LookPath("tshark"); err != nil {
		testgate.Skip(t, "tshark is not installed (apt-get install tshark): ", err)
	}
	for _, name := range []string{"mixed", "edge", "dns"} {
		err := filepath.WalkDir(filepath.Join(folder, name), func(path string, e fs.DirEntry, err error) error {
			if kind := strings.TrimSuffix(path, ".gz"); err == nil && e.Type().IsRegular() && (strings.HasSuffix(kind, ".pcap") || strings.HasSuffix(kind, ".pcapng")) {
				t.Run(strings.TrimPrefix(path, folder+"/"), func(t *testing.T) {
					t.Parallel()
					readAgrees(t, path)
				})
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func readAgrees(t *testing.T, path string) {
	t.Helper()
	if file, err := pcapfile.Open(path); err == nil {
		_ = file.Close()
	} else if errors.Is(err, pcapfile.ErrLinkType) || errors.Is(err, pcapfile.ErrFormat) {
		t.Skip("refused by name: ", err)
	}
	truth, err := dissect.File(path)
	if err != nil {
		t.Fatal(err)
	}
	// A host pair's fragments are compared without ports: tshark says none of the later ones.
	fragmented := make(map[tuple]bool)
	for i := range truth {
		if truth[i].Later {
			fragmented[pairOf(&truth[i])] = true
		}
	}
	want := make(map[tuple]sum)
	for i := range truth {
		d := &truth[i]
		if link, _, _ := strings.Cut(d.Protocols, ":ip"); d.Version == 0 || strings.Contains(link, ":mpls:pw") {
			continue // Ethernet inside MPLS is no IP here; tshark guesses
		}
		k := pairOf(d)
		if !fragmented[k] {
			k.ports, k.tos = fmt.Sprint(d.SrcPort, d.DstPort), fmt.Sprint(d.ToS)
		}
		want[k] = want[k].plus(1, d.Bytes)
	}
	got, ledger, err := read(t, path, fragmented)
	if errors.Is(err, pcapfile.ErrLinkType) || errors.Is(err, pcapfile.ErrFormat) {
		t.Skip("refused by name: ", err)
	}
	if !ledger.Balanced() {
		t.Errorf("the ledger does not balance: %+v", ledger)
	}
	for k, w := range want {
		if got[k] != w {
			t.Errorf("%v: got %v, want %v", k, got[k], w)
		}
		delete(got, k)
	}
	for k, g := range got {
		t.Errorf("%v: %v, which tshark does not see", k, g)
	}
}

func (s sum) plus(packets, bytes uint64) sum { return sum{s.packets + packets, s.bytes + bytes} }

// pairOf is source, destination and protocol. An extension header's number is what a later IPv6 fragment says before it is
// joined with its first.
func pairOf(d *dissect.Frame) tuple {
	if dissect.IsExtension(d.Proto) && d.Version == 6 {
		return tuple{src: d.Src, dst: d.Dst}
	}
	return tuple{src: d.Src, dst: d.Dst, proto: d.Proto}
}

// read sums up the records of a file.
func read(t *testing.T, path string, fragmented map[tuple]bool) (map[tuple]sum, *sensor.Ledger, error) {
	t.Helper()
	got := make(map[tuple]sum)
	r, err := sensor.NewReader(sensor.Defaults().Flows, nil, func(rec *flow.Record, _ string) {
		k := tuple{src: rec.Src.Netip(rec.Version), dst: rec.Dst.Netip(rec.Version), proto: rec.Proto}
		if whole := (tuple{src: k.src, dst: k.dst}); fragmented[whole] {
			k = whole // joined fragments whose protocol tshark does not know
		}
		if !fragmented[k] {
			k.ports, k.tos = fmt.Sprint(rec.SrcPort, rec.DstPort), fmt.Sprint(rec.ToS)
		}
		got[k] = got[k].plus(rec.Packets, rec.Bytes)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	file, err := pcapfile.Open(path)
	if err != nil {
		return got, r.Ledger(), err
	}
	defer func() { _ = file.Close() }()
	err = r.Read(context.Background(), file)
	return got, r.Ledger(), err
}
