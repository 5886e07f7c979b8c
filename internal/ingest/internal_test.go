package ingest

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"flowsensor/internal/seal"
)

func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := range Reason(Reasons) {
		name := r.String()
		if name == "" || seen[name] {
			t.Errorf("reason %d is named %q", r, name)
		}
		seen[name] = true
	}
	for r := range seal.Reason(seal.Reasons) {
		if r != seal.ReasonOK && openReasons[r].String() != r.String() {
			t.Errorf("seal's %v is counted as %v", r, openReasons[r])
		}
		if openReasons[r].Authentic() != r.Authentic() {
			t.Errorf("%v: authentic here and not there", r)
		}
	}
	for v := range txReasons {
		if v != int(seal.VerdictNew) && txReasons[v] == ReasonAccepted {
			t.Errorf("%v is accepted", seal.Verdict(v))
		}
	}
	if Reason(Reasons).String() == "" {
		t.Error("no text for a reason beyond the last")
	}
}

func cmsg(level, kind int32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(data))))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(kind))
	copy(b[16:], data)
	return b
}

func TestParseAncillary(t *testing.T) {
	stamp := binary.NativeEndian.AppendUint64(nil, 1_700_000_000)
	stamp = binary.NativeEndian.AppendUint64(stamp, 123_456_789)
	stamp32 := binary.NativeEndian.AppendUint32(nil, 1_700_000_000)
	stamp32 = binary.NativeEndian.AppendUint32(stamp32, 123_456_789)
	drops := binary.NativeEndian.AppendUint32(nil, 42)
	when := time.Unix(1_700_000_000, 123_456_789)
	other := cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, make([]byte, 12))

	for name, tc := range map[string]struct {
		oob  []byte
		want ancillary
	}{
		"none":           {nil, ancillary{}},
		"stamp":          {cmsg(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, stamp), ancillary{received: when}},
		"stamp, 32 bits": {cmsg(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, stamp32), ancillary{received: when}},
		"drops":          {cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, drops), ancillary{dropped: 42, hasDropped: true}},
		"all": {
			append(append(other, cmsg(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, stamp)...), cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, drops)...),
			ancillary{received: when, dropped: 42, hasDropped: true},
		},
		"short data":   {cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, drops[:2]), ancillary{}},
		"false length": {[]byte{255, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 40, 0, 0, 0, 1, 1, 1, 1}, ancillary{}},
		"cut":          {cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, drops)[:10], ancillary{}},
	} {
		if got := parseAncillary(tc.oob); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
}

// The kernel's count has 32 bits, ours has not.
func TestNoteDrops(t *testing.T) {
	r := &reader{}
	for _, step := range []struct {
		count uint32
		want  uint64
	}{{5, 5}, {5, 5}, {3, 5}, {1 << 31, 1 << 31}, {1<<32 - 1, 1<<32 - 1}, {10, 1<<32 + 10}} {
		r.noteDrops(&ancillary{dropped: step.count, hasDropped: true})
		if got := r.kernelDrops.Load(); got != step.want {
			t.Errorf("after the kernel's %d: %d, want %d", step.count, got, step.want)
		}
	}
	r.noteDrops(&ancillary{})
	if got := r.kernelDrops.Load(); got != 1<<32+10 {
		t.Errorf("no count in the datagram made it %d", got)
	}
}

// failing is a socket that gives errors.
type failing struct{ errs []error }

func (f *failing) ReadBatch([]ipv4.Message, int) (int, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return 0, err
}

// Errors that pass are counted and outlived, one that stays ends Run.
func TestReadErrors(t *testing.T) {
	b := newBench(t)
	s, err := Listen(Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Processors: 2},
		b.keys.Load().opener, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	f := &failing{}
	for range maxReadErrors - 1 {
		f.errs = append(f.errs, syscall.ENOBUFS)
	}
	f.errs = append(f.errs, nil) // a read that succeeds
	for range maxReadErrors {
		f.errs = append(f.errs, syscall.ENOMEM)
	}
	s.readers[1].socket.batch = f
	if err := s.Run(t.Context(), b.sink); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("Run ended with %v", err)
	}
	if n := s.Stats().Sockets[1].ReadErrors; n != 2*maxReadErrors-1 {
		t.Errorf("%d read errors", n)
	}
}

func TestSeqs(t *testing.T) {
	var s seqs
	for i, step := range []struct {
		boot, seq uint64
		want      claim
	}{
		{5, 100, claimNew},
		{5, 100, claimSeen},
		{5, 99, claimNew},
		{5, 98 + seqWindowBits, claimNew}, // 99 is the lowest now
		{5, 99, claimSeen},
		{5, 98, claimSeen}, // below the window
		{5, 101, claimNew},
		{5, 1 << 40, claimNew},
		{5, 1<<40 - seqWindowBits + 1, claimNew},
		{5, 1<<64 - 1, claimNew},
		{5, 1<<64 - 1, claimSeen},
		{6, 100, claimNew},
		{0, 0, claimNew}, // zero is a boot and a number like others
		{0, 0, claimSeen},
	} {
		if got := s.claim(step.boot, step.seq); got != step.want {
			t.Errorf("step %d: boot %d seq %d: %v, want %v", i, step.boot, step.seq, got, step.want)
		}
	}
	s.release(6, 100)
	if got := s.claim(6, 100); got != claimNew {
		t.Errorf("released number: %v", got)
	}
	s.release(77, 1)    // not a known boot
	s.release(5, 1)     // below the window
	s.release(6, 1<<20) // above it
	for boot := range seal.MaxBoots {
		s.claim(uint64(10+boot), 1)
	}
	if got := s.claim(6, 101); got != claimForgotten {
		t.Errorf("boot pushed out by newer ones: %v", got)
	}
	if got := s.claim(10, 1); got != claimSeen {
		t.Errorf("oldest of the known boots: %v", got)
	}
}

// Against a plain model: random numbers that go up on the whole, with releases.
func TestSeqWindowModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var w seqWindow
	taken := map[uint64]bool{}
	var highest uint64
	for range 200_000 {
		seq := highest + rng.Uint64N(40)
		if back := rng.Uint64N(3000); rng.IntN(4) > 0 && back < seq {
			seq -= back
		}
		if rng.IntN(1000) == 0 {
			seq += rng.Uint64N(5000)
		}
		highest = max(highest, seq)
		want := claimNew
		if taken[seq] || highest-seq >= seqWindowBits {
			want = claimSeen
		}
		if got := w.claim(seq); got != want {
			t.Fatalf("seq %d, highest %d: %v, want %v", seq, highest, got, want)
		}
		taken[seq] = true
		if rng.IntN(10) == 0 && highest-seq < seqWindowBits {
			w.release(seq)
			delete(taken, seq)
		}
	}
}

func TestThrottle(t *testing.T) {
	start := time.Now()
	th := newThrottle(time.Minute, start)
	total := uint64(0)
	note := func(r Reason, at time.Duration) (uint64, bool) {
		total++
		return th.allow(r, start.Add(at), func(Reason) uint64 { return total })
	}
	for i, step := range []struct {
		reason     Reason
		at         time.Duration
		suppressed uint64
		ok         bool
	}{
		{ReasonSize, 0, 0, true},
		{ReasonSize, time.Second, 0, false},
		{ReasonSize, 59 * time.Second, 0, false},
		{ReasonSize, time.Minute, 2, true},
		{ReasonSize, 61 * time.Second, 0, false},
		{ReasonSize, time.Hour, 1, true},
	} {
		suppressed, ok := note(step.reason, step.at)
		if suppressed != step.suppressed || ok != step.ok {
			t.Errorf("step %d: %d, %v", i, suppressed, ok)
		}
	}
	total = 0
	if suppressed, ok := note(ReasonShape, time.Hour); !ok || suppressed != 0 {
		t.Error("reasons hold each other up")
	}
}
