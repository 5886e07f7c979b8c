package capture_test

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
	"flowsensor/internal/pcapfile"
)

func eachCapturedFrame(t *testing.T, visit func(path string, f *frame.Frame)) {
	t.Helper()
	if _, err := os.Stat(capturesFolder); err != nil {
		t.Skip("the folder of captures is not on this machine: ", err)
	}
	if err := walkCaptures(visit); err != nil {
		t.Fatal(err)
	}
}

// walkCaptures visits the frames of all capture files, none where there are none.
func walkCaptures(visit func(path string, f *frame.Frame)) error {
	return filepath.WalkDir(capturesFolder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !isCapture(e.Name()) {
			return err
		}
		r, err := pcapfile.Open(path)
		if err != nil {
			return nil // one that is damaged on purpose
		}
		_ = r.Walk(func(f *frame.Frame) { visit(path, f) }) // up to where it is damaged
		return r.Close()
	})
}

func isCapture(name string) bool {
	plain := strings.TrimSuffix(name, ".gz")
	return (strings.HasSuffix(plain, ".pcap") || strings.HasSuffix(plain, ".pcapng")) && !slices.Contains(beyondSteering, name)
}

// meetings is which worker got the packets of each conversation, and the fragments of each pair of addresses.
type meetings struct {
	*testing.T

	workers   map[meeting]int
	packets   int
	met       int // packets that others of their conversation had gone before
	fragments int
}

type meeting struct {
	key      flow.Key
	fragment bool
}

func newMeetings(t *testing.T) *meetings {
	t.Helper()
	return &meetings{T: t, workers: map[meeting]int{}}
}

func (m *meetings) add(p *flow.Packet, worker int) {
	at := meeting{canonical(p.Key), p.Fragment}
	m.packets++
	if p.Fragment {
		m.fragments++
		at.key.SrcPort, at.key.DstPort, at.key.Proto = 0, 0, 0
	}
	switch before, known := m.workers[at]; {
	case !known:
		m.workers[at] = worker
	case before != worker:
		m.Errorf("%+v meets worker %d and worker %d", at, before, worker)
	default:
		m.met++
	}
}

// check says whether there was enough to see.
func (m *meetings) check() {
	m.Logf("%d packets, %d of them fragments, of %d conversations", m.packets, m.fragments, len(m.workers))
	if m.met < m.packets/2 || m.fragments == 0 {
		m.Errorf("only %d packets met others of their conversation", m.met)
	}
}

// All packets of one flow, in both directions, meet one worker, and so do all fragments of one pair of addresses, which
// may be another one.
func TestFlowsOfRealTrafficAreNotSplit(t *testing.T) {
	const workers = 16
	s, decoder, m := newSteering(t, somewhere(1)), packet.NewDecoder(packet.Config{}), newMeetings(t)
	numbers := map[int]bool{} // one for all protocols without ports of a pair of addresses: those are no measure of the hash
	eachCapturedFrame(t, func(_ string, f *frame.Frame) {
		if f.Link != frame.Ethernet && f.Link != frame.Raw {
			return // no AF_PACKET socket hands over others
		}
		var p flow.Packet
		cut := decoder.Stats().Notes[packet.NotePortsTruncated]
		if decoder.Decode(&p, f) == packet.OK && decoder.Stats().Notes[packet.NotePortsTruncated] == cut {
			number := s.steer(f.Link, f.Data)
			numbers[number] = true
			m.add(&p, number%workers)
		}
	})
	m.check()
	perWorker := make([]int, workers)
	for n := range numbers {
		perWorker[n%workers]++
	}
	checkSpread(t, "real traffic", perWorker)
}

func compare(a, b flow.Addr) int { return cmp.Or(cmp.Compare(a.Hi, b.Hi), cmp.Compare(a.Lo, b.Lo)) }

// canonical gives both directions of a conversation one key.
func canonical(k flow.Key) flow.Key {
	k.ToS, k.IfIndex, k.VLAN, k.VLANInner = 0, 0, 0, 0
	if k.Proto == flow.ProtoICMP || k.Proto == flow.ProtoICMPv6 {
		k.SrcPort, k.DstPort = 0, 0
	}
	if c := compare(k.Src, k.Dst); c > 0 || c == 0 && k.SrcPort > k.DstPort {
		k.Src, k.Dst, k.SrcPort, k.DstPort = k.Dst, k.Src, k.DstPort, k.SrcPort
	}
	return k
}
