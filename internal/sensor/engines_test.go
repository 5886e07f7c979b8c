package sensor

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/capture"
	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/pcapfile"
	"flowsensor/internal/testgate"
	"flowsensor/internal/testnet"
)

// Two sensors on one mirror port, one with each engine, report the same flows of the same traffic: connections of real
// hosts, and a part of each capture file at hand.
func TestEnginesReportTheSameFlows(t *testing.T) {
	if !capture.EngineAFPacket.Available() {
		testgate.Skip(t, "this build has one engine: build with cgo")
	}
	span := testnet.New(t, testnet.Config{})
	mirror := &testnet.Link{Generator: span.A, Capture: span.C}
	conversation := &testnet.Link{Generator: span.A, Capture: span.B}
	config := func(e capture.Engine) Config {
		c := configOn(t, mirror)
		c.ID, c.Capture.Engine, c.Capture.Workers, c.Flows.MaxFlows = e.String(), e, 2, 1<<16
		return c
	}
	frames := someRealFrames(t)
	var ledgers [2]*Ledger
	traffic := func() {
		out, err := span.A.Frames()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = out.Close() }()
		for _, f := range frames {
			if err := out.Send(f); err != nil {
				t.Fatal(err)
			}
		}
		for _, to := range []netip.Addr{span.B.IPv4, span.B.IPv6} {
			transfer(t, conversation, to, 3_000_000)
		}
	}
	var records [2][]flow.Record
	ledgers[0], records[0] = serve(t, mirror, config(capture.EngineRing), func() {
		ledgers[1], records[1] = serve(t, mirror, config(capture.EngineAFPacket), traffic)
	})
	if a, b := ledgers[0], ledgers[1]; a.Dropped+b.Dropped != 0 || a.Packets.Read != b.Packets.Read || a.Bytes.Read != b.Bytes.Read ||
		!maps.Equal(a.Packets.Refused, b.Packets.Refused) || a.Packets.Read < uint64(len(frames))+2*3_000_000/1448 {
		t.Errorf("the ledgers differ, or packets are missing:\n%+v\n%+v", a, b)
	}
	sameFlows(t, byKey(records[0]), byKey(records[1]))
}

func sameFlows(t *testing.T, these, those map[flow.Key]flow.Record) {
	t.Helper()
	differ := 0
	for k, a := range these {
		if b := those[k]; a != b {
			if differ++; differ < 5 {
				t.Errorf("%+v\nand\n%+v", a, b)
			}
		}
	}
	if differ > 0 || len(these) != len(those) {
		t.Errorf("%d flows and %d, of which %d differ", len(these), len(those), differ)
	}
}

// byKey adds up what the records say of each flow. The stamps are left out: the kernel takes them for each socket apart.
func byKey(records []flow.Record) map[flow.Key]flow.Record {
	all := map[flow.Key]flow.Record{}
	for _, r := range records {
		sum := all[r.Key]
		sum.Key, sum.VLAN, sum.VLANInner = r.Key, r.VLAN, r.VLANInner
		sum.Packets += r.Packets
		sum.Bytes += r.Bytes
		sum.TCPFlags |= r.TCPFlags
		sum.Handshake |= r.Handshake
		all[r.Key] = sum
	}
	return all
}

// someRealFrames is up to 60 Ethernet frames of each capture file at hand.
func someRealFrames(t *testing.T) (all [][]byte) {
	t.Helper()
	paths, err := filepath.Glob("../../../shared/pcaps/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if name := strings.TrimSuffix(path, ".gz"); !strings.HasSuffix(name, ".pcap") && !strings.HasSuffix(name, ".pcapng") {
			continue
		}
		r, err := pcapfile.Open(path)
		if err != nil {
			continue // one that is damaged on purpose
		}
		taken := 0
		_ = r.Walk(func(f *frame.Frame) { // up to where it is damaged
			if f.Link == frame.Ethernet && len(f.Data) >= 60 && len(f.Data) <= 1500 && taken < 60 {
				taken++
				all = append(all, slices.Clone(f.Data))
			}
		})
		if err := r.Close(); err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
	return all
}
