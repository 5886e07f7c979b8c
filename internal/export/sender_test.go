package export_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
)

// TestRecordsArrive sends over both families and holds what arrives to the contract: the records, the limits, the
// numbers and the stamps.
func TestRecordsArrive(t *testing.T) {
	for name, c := range map[string]struct {
		listen      string
		maxDatagram int
		limit       int
	}{
		"IPv4":       {"127.0.0.1:0", export.DefaultMaxDatagram, 1472},
		"IPv6":       {"[::1]:0", export.DefaultMaxDatagram, 1452},
		"IPv4 small": {"127.0.0.1:0", 700, 700},
		"IPv6 large": {"[::1]:0", 9000, 8980},
		"IPv4 most":  {"127.0.0.1:0", 65507, 65507},
	} {
		t.Run(name, func(t *testing.T) {
			key := newKey(t)
			in := newSink(t, c.listen)
			cfg := config(in.addr.String(), key)
			cfg.MaxDatagram = c.maxDatagram
			s := run(t, cfg)
			if s.RemoteAddr() != in.addr || s.LocalAddr().Port() == 0 || s.LocalAddr().Addr() != in.addr.Addr() {
				t.Errorf("ends %v, %v", s.LocalAddr(), s.RemoteAddr())
			}

			const workers, each = 3, 2000
			want, added := addAll(s, workers, each)
			stats := s.drain(t)
			checkLedger(t, stats, added)
			if stats.MaxDatagram != c.limit {
				t.Errorf("limit %d, want %d", stats.MaxDatagram, c.limit)
			}
			if stats.Sent != added {
				t.Errorf("sent %+v, want all of %+v", stats.Sent, added)
			}

			arrived := open(t, in.wait(t, stats.Datagrams), key)
			checkArrivals(t, arrived, c.limit)
			if diff := cmp.Diff(want, byBytes(arrived)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			checkDensity(t, arrived, stats)
		})
	}
}

// checkDensity compares the counters with what came, and asks for the packing that the design promises.
func checkDensity(t *testing.T, arrived []arrival, stats export.Stats) {
	t.Helper()
	var octets uint64
	for _, a := range arrived {
		octets += uint64(a.length)
	}
	if octets != stats.Octets || uint64(len(arrived)) != stats.Datagrams {
		t.Errorf("%d datagrams, %d octets came; counted %d, %d", len(arrived), octets, stats.Datagrams, stats.Octets)
	}
	if got := float64(stats.Sent.Records) / float64(stats.Datagrams); stats.MaxDatagram == 1472 && got < 20 {
		t.Errorf("only %.1f records in a datagram", got)
	}
}

// addAll lets workers add records, each under its own interface, and gives all of them by their unique Bytes.
func addAll(s *running, workers, each int) (map[uint64]flow.Named, export.Amount) {
	want := make(map[uint64]flow.Named)
	var added export.Amount
	var wg sync.WaitGroup
	for w := range workers {
		iface := string(rune('a' + w))
		var records []flow.Record
		for i := range each {
			r := record(w*each + i)
			r.IfIndex = uint32(w + 1)
			records = append(records, r)
			want[r.Bytes] = flow.Named{Record: &r, Iface: iface}
			added = added.Plus(export.Amount{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
		}
		b := s.Batcher(iface)
		b.WaitForRoom(context.Background())
		wg.Go(func() {
			for i := range records {
				b.Add(&records[i])
			}
			b.Close()
		})
	}
	wg.Wait()
	return want, added
}

func byBytes(arrived []arrival) map[uint64]flow.Named {
	out := make(map[uint64]flow.Named)
	for i := range arrived {
		b := &arrived[i].batch
		for j := range b.Records {
			r := &b.Records[j]
			out[r.Bytes] = flow.Named{Record: r, Iface: b.InterfaceName(r.IfIndex)}
		}
	}
	return out
}

// checkArrivals holds datagrams in the order of their sending to what each says of itself.
func checkArrivals(t *testing.T, arrived []arrival, limit int) {
	t.Helper()
	var next int64
	for i, a := range arrived {
		n := uint64(i + 1)
		if a.length > limit {
			t.Errorf("datagram %d has %d octets, limit %d", i, a.length, limit)
		}
		if a.header.TX != n || a.batch.Seq != n || a.batch.Floor != max(n, 1024)-1023 || a.batch.Boot != a.header.Boot {
			t.Errorf("datagram %d: tx %d, seq %d, floor %d; want %d", i, a.header.TX, a.batch.Seq, a.batch.Floor, n)
		}
		if a.header.Boot != arrived[0].header.Boot || a.header.Boot == 0 {
			t.Errorf("datagram %d: boot %d", i, a.header.Boot)
		}
		if a.batch.Base < next {
			t.Errorf("datagram %d: base %d, but stamps up to %d are given", i, a.batch.Base, next-1)
		}
		next = a.batch.Base + int64(len(a.batch.Records))
	}
}

// TestFlushInterval: a lone record leaves in time, without its batch or its datagram being full.
func TestFlushInterval(t *testing.T) {
	key := newKey(t)
	in := newSink(t, "127.0.0.1:0")
	cfg := config(in.addr.String(), key)
	cfg.FlushInterval = 400 * time.Millisecond
	s := run(t, cfg)
	b := s.Batcher("eth0")
	defer b.Close()

	start := time.Now()
	now := func() int64 { return int64(time.Since(start)) }
	b.Flush(now())
	r := record(1)
	b.Add(&r)
	for len(in.received()) == 0 && time.Since(start) < 5*time.Second {
		b.Flush(now())
		if s.Stats().Added.Records != 1 {
			t.Fatal("Flush did not publish what was added")
		}
		time.Sleep(10 * time.Millisecond)
	}
	// Half of the interval in the Batcher, a quarter in the datagram.
	if took := time.Since(start); took > cfg.FlushInterval || took < cfg.FlushInterval/2 {
		t.Errorf("took %v, the interval is %v", took, cfg.FlushInterval)
	}
}

// TestSetKey changes the key under load: every datagram opens with one of the two, in order, and none is lost.
func TestSetKey(t *testing.T) {
	older, newer := newKey(t), newKey(t)
	in := newSink(t, "127.0.0.1:0")
	s := run(t, config(in.addr.String(), older))
	if err := s.SetKey(seal.Key{}); err == nil {
		t.Error("the zero key was taken")
	}
	b := s.Batcher("eth0")
	b.WaitForRoom(context.Background())
	const n = 20 * export.BatchRecords
	for i := range n {
		if i == n/2 {
			eventually(t, "first datagram", func() bool { return s.Stats().Datagrams > 0 })
			if err := s.SetKey(newer); err != nil {
				t.Fatal(err)
			}
		}
		r := record(i)
		b.Add(&r)
	}
	b.Close()
	stats := s.drain(t)
	datagrams := in.wait(t, stats.Datagrams)
	arrived := open(t, datagrams, newer, older)
	checkArrivals(t, arrived, 1472)
	if got := len(byBytes(arrived)); got != n {
		t.Errorf("%d records of %d arrived", got, n)
	}
	open(t, datagrams[:1], older)
	open(t, datagrams[len(datagrams)-1:], newer)
}

// TestInvalidRecord: one bad record must not cost the others in its datagram.
func TestInvalidRecord(t *testing.T) {
	key := newKey(t)
	in := newSink(t, "127.0.0.1:0")
	s := run(t, config(in.addr.String(), key))
	b := s.Batcher("eth0")
	var added export.Amount
	for i := range 10 {
		r := record(i)
		if i == 4 {
			r.EndReason = 0
		}
		added = added.Plus(export.Amount{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
		b.Add(&r)
	}
	b.Close()
	stats := s.drain(t)
	checkLedger(t, stats, added)
	if got := stats.Dropped[export.InvalidRecord].Records; got != 1 || stats.LastError == "" {
		t.Errorf("%d invalid records, error %q", got, stats.LastError)
	}
	if got := len(byBytes(open(t, in.wait(t, 1), key))); got != 9 {
		t.Errorf("%d records arrived, want 9", got)
	}
}

// TestSealFails: a clock that no token can carry costs the records, counted; the next time it is right they go out.
func TestSealFails(t *testing.T) {
	in := newSink(t, "127.0.0.1:0")
	clock := &fakeClock{}
	cfg := config(in.addr.String(), newKey(t))
	cfg.Clock = clock.Now
	if _, err := export.NewSender(cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("started with a clock before 1970")
	}
	clock.step(time.Hour)
	s := run(t, cfg)
	clock.step(-2 * time.Hour)
	addOne(s.Sender, 1)
	eventually(t, "loss", func() bool { return s.Stats().Dropped[export.SealError].Records == 1 })
	clock.step(time.Hour * 24)
	addOne(s.Sender, 2)
	stats := s.drain(t)
	if stats.Sent.Records != 1 || stats.LastError == "" {
		t.Errorf("sent %d, last error %q", stats.Sent.Records, stats.LastError)
	}
	checkLedger(t, stats, amounts(record(1), record(2)))
}

// TestInterfaceRenamed: two names of one index do not meet in a datagram.
func TestInterfaceRenamed(t *testing.T) {
	key := newKey(t)
	in := newSink(t, "127.0.0.1:0")
	s := run(t, config(in.addr.String(), key))
	names := []string{"eth0", "lan0", "eth0"}
	for i, name := range names {
		b := s.Batcher(name)
		r := record(i)
		b.Add(&r)
		b.Close()
	}
	stats := s.drain(t)
	got := byBytes(open(t, in.wait(t, stats.Datagrams), key))
	for i, name := range names {
		r := record(i)
		if got[r.Bytes].Iface != name {
			t.Errorf("record %d is of %q, want %q", i, got[r.Bytes].Iface, name)
		}
	}
}

// TestOneSender: Run and Drain exclude each other, and a Sender that never ran can be closed, twice.
func TestOneSender(t *testing.T) {
	in := newSink(t, "127.0.0.1:0")
	s := run(t, config(in.addr.String(), newKey(t)))
	addOne(s.Sender, 1)
	in.wait(t, 1) // so Run has begun
	if err := s.Run(t.Context()); !errors.Is(err, export.ErrBusy) {
		t.Errorf("run while running: %v", err)
	}
	if err := s.Drain(t.Context()); !errors.Is(err, export.ErrBusy) {
		t.Errorf("drain while running: %v", err)
	}
	if err := s.Close(); !errors.Is(err, export.ErrBusy) {
		t.Errorf("close while running: %v", err)
	}
	idle := newSender(t, config(in.addr.String(), newKey(t)))
	for range 2 {
		if err := idle.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNewSenderFails: what cannot be opened is said, and nothing stays open (goleak, and the state lock).
func TestNewSenderFails(t *testing.T) {
	cfg := config("nowhere.invalid:9999", newKey(t))
	cfg.Keeping, cfg.StateDir = export.InStateDir, t.TempDir()
	cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }
	for range 2 {
		_, err := export.NewSender(cfg, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Fatal("an unknown host was taken")
		}
		if want := "export: collector nowhere.invalid:9999: no such host"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}
