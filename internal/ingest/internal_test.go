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
	other := cmsg(unix.IPPROTO_IP, unix.IP_TOS, make([]byte, 12))
	info4 := []byte{0, 0, 0, 7, 192, 0, 2, 1, 192, 0, 2, 255}
	info6 := append(netip.MustParseAddr("2001:db8::1").AsSlice(), 0, 0, 0, 7)

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
		"sent to IPv4": {cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, info4), ancillary{local: netip.MustParseAddr("192.0.2.1")}},
		"sent to IPv6": {cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info6), ancillary{local: netip.MustParseAddr("2001:db8::1")}},
		"short info":   {append(cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, info4[:8]), cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info6[:16])...), ancillary{}},
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
	settle := func(boot, seq uint64, r Result) { s.known(boot).settle(seq, r) }
	for i, step := range []struct {
		boot, seq, floor uint64
		want             claim
		then             Result
	}{
		{5, 1, 1, claimNew, 0},
		{5, 1, 1, claimPending, Durable},
		{5, 1, 1, claimDurable, 0},
		{5, 3, 1, claimNew, Durable},
		{5, 3, 1, claimDurable, 0},
		{5, 2, 1, claimNew, Lost},
		{5, 2, 1, claimNew, 0}, // lost is welcome again
		{5, 100, 99, claimNew, 0},
		{5, 98, 90, claimDurable, 0}, // given up since
		{5, 2, 1, claimDurable, 0},
		{5, 98 + seqWindowBits, 99, claimNew, 0},
		{5, 100, 99, claimPending, 0},
		{5, 1 << 40, 1<<40 - 1, claimNew, 0},
		{5, 1<<40 - 1, 1<<40 - 1, claimNew, 0},
		{6, 1 << 40, 1 << 40, claimNew, Durable}, // in the midst: the collector was restarted
		{6, 1 << 40, 1 << 40, claimDurable, 0},
		{0, 1, 0, claimNew, 0}, // zero is a boot like others
		{0, 0, 0, claimDurable, 0},
	} {
		if got := s.claim(step.boot, step.seq, step.floor); got != step.want {
			t.Errorf("step %d: boot %d seq %d: %v, want %v", i, step.boot, step.seq, got, step.want)
		}
		if step.then != 0 {
			settle(step.boot, step.seq, step.then)
		}
	}
	for boot := range seal.MaxBoots - 1 {
		s.claim(uint64(10+boot), 1, 1)
		s.claim(5, 1, 1) // heard all the time: stays known
	}
	if s.known(6) != nil || s.known(0) != nil || s.known(5) == nil {
		t.Error("the wrong boot was forgotten")
	}
}

// Against a plain model: random numbers that go up on the whole, settled at random, with a floor that follows.
func TestSeqWindowModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var w seqWindow
	durable, taken := map[uint64]bool{}, map[uint64]bool{}
	floor, highest := uint64(1), uint64(0)
	for range 200_000 {
		if rng.IntN(50) == 0 { // what is durable and, now and then, what is not is behind
			for durable[floor] || rng.IntN(20) == 0 {
				floor++
			}
		}
		if rng.IntN(20_000) == 0 {
			floor += rng.Uint64N(5000)
		}
		seq := floor + rng.Uint64N(min(highest-min(floor, highest)+40, seqWindowBits))
		highest = max(highest, seq)
		want := claimNew
		switch {
		case durable[seq]:
			want = claimDurable
		case taken[seq]:
			want = claimPending
		}
		if got := w.claim(seq, floor); got != want {
			t.Fatalf("seq %d, floor %d, upto %d: %v, want %v", seq, floor, w.upto, got, want)
		}
		taken[seq] = true
		settleModel(&seqModel{t, &w, taken, durable}, rng.IntN(400), seq)
	}
}

// seqModel is a window and what it should say.
type seqModel struct {
	t              *testing.T
	w              *seqWindow
	taken, durable map[uint64]bool
}

func settleModel(m *seqModel, dice int, seq uint64) {
	t, w, taken, durable := m.t, m.w, m.taken, m.durable
	t.Helper()
	switch dice % 4 {
	case 0:
		if w.settle(seq, Durable) == durable[seq] {
			t.Fatalf("seq %d settled as if it were new, or not", seq)
		}
		durable[seq] = true
	case 1:
		if !durable[seq] {
			w.settle(seq, Lost)
			delete(taken, seq)
		}
	}
	if dice/4 > 0 {
		return
	}
	acks := w.acks(nil)
	named := map[uint64]bool{}
	acks.Each(func(n uint64) { named[n] = true })
	for n := acks.Upto + 1; n <= acks.Highest()+10; n++ {
		if named[n] != durable[n] {
			t.Fatalf("seq %d: durable %v, acknowledged %v", n, durable[n], named[n])
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
