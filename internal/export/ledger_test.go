package export_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/export"
)

// TestLedger loads the Sender at random, with a receiver that is well, that reads nothing and that is gone, through a
// tiny queue; workers flush, drop, wait and close at any time, also after the sender is gone. The sums must hold.
func TestLedger(t *testing.T) {
	well := newSink(t, "127.0.0.1:0")
	deaf, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	gone := newSink(t, "[::1]:0")
	gone.close()

	for name, collector := range map[string]string{
		"well": well.addr.String(), "deaf": deaf.LocalAddr().String(), "gone": gone.addr.String(),
	} {
		t.Run(name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			for round := range uint64(6) {
				ledgerRound(t, rand.New(rand.NewPCG(seed, round)), collector)
			}
		})
	}
}

func ledgerRound(t *testing.T, random *rand.Rand, collector string) {
	t.Helper()
	cfg := config(collector, newKey(t))
	cfg.Queue = 1 + random.IntN(4)
	cfg.FlushInterval = 10 * time.Millisecond
	s := newSender(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running, workers sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})

	var mu sync.Mutex
	var added export.Amount
	for range 1 + random.IntN(4) {
		b := s.Batcher("eth0")
		r := rand.New(rand.NewPCG(random.Uint64(), 0))
		workers.Go(func() {
			mine := work(ctx, b, r)
			mu.Lock()
			defer mu.Unlock()
			added = added.Plus(mine)
		})
	}
	watch(t, s, time.Duration(random.IntN(60))*time.Millisecond)
	cancel()
	running.Wait()
	deadline, stop := context.WithTimeout(t.Context(), time.Duration(random.IntN(20))*time.Millisecond)
	defer stop()
	_ = s.Drain(deadline) // may leave something: the ledger says what
	workers.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkLedger(t, s.Stats(), added)
}

// work adds at random until a while after ctx ends, and gives the sum of what it added.
func work(ctx context.Context, b *export.Batcher, random *rand.Rand) export.Amount {
	patience, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if random.IntN(3) == 0 {
		b.WaitForRoom(patience)
	}
	start := time.Now()
	late := random.IntN(2000)
	var sum export.Amount
	for i := 0; late > 0; i++ {
		if ctx.Err() != nil {
			late--
		}
		r := record(i)
		b.Add(&r)
		sum = sum.Plus(export.Amount{Records: 1, Packets: r.Packets, Bytes: r.Bytes})
		if random.IntN(100) == 0 {
			b.Flush(int64(time.Since(start)))
		}
		if random.IntN(500) == 0 {
			time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
		}
	}
	b.Close()
	return sum
}

// watch reads the counters while they move: no sum may exceed what was added.
func watch(t *testing.T, s *export.Sender, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		stats := s.Stats()
		if stats.Pending.Records > stats.Added.Records || stats.Pending.Bytes > stats.Added.Bytes {
			t.Fatalf("more sent and dropped than added: %+v", stats)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// TestDrainDeadline: what is left at the deadline is counted, at once, and Drain says so.
func TestDrainDeadline(t *testing.T) {
	s := idle(t, 8)
	b := s.Batcher("eth0")
	for i := range 5 * export.BatchRecords {
		r := record(i)
		b.Add(&r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(ctx); err == nil {
		t.Error("Drain does not tell what it left")
	}
	r := record(0)
	b.Add(&r) // late
	b.Close()
	stats := s.Stats()
	if got := stats.Dropped[export.Shutdown].Records; got != 5*export.BatchRecords+1 || stats.Pending.Records != 0 {
		t.Errorf("%d dropped, %d pending", got, stats.Pending.Records)
	}
}

// TestDrainWaitsForWorkers: a Batcher that is still open may hand over; Drain waits for it, and its records go out.
func TestDrainWaitsForWorkers(t *testing.T) {
	in := newSink(t, "127.0.0.1:0")
	s := newSender(t, config(in.addr.String(), newKey(t)))
	b := s.Batcher("eth0")
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background()) }()
	select {
	case err := <-drained:
		t.Fatalf("Drain did not wait: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	r := record(1)
	b.Add(&r)
	b.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if got := s.Stats().Sent.Records; got != 1 {
		t.Errorf("sent %d records", got)
	}
}
