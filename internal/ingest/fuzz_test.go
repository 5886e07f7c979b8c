package ingest

import (
	"math"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// newFuzz is a bench that logs nothing: a line now and then would make runs of one input differ, which costs the fuzzer
// its speed.
func newFuzz(f *testing.F) *bench {
	f.Helper()
	b := newBench(f)
	for i := range b.throttle.slots {
		b.throttle.slots[i].open.Store(math.MaxInt64)
	}
	return b
}

// FuzzDatagram takes any octets from the network. Without the key nothing gets past the HMAC.
func FuzzDatagram(f *testing.F) {
	b := newFuzz(f)
	b.sink = func(*flow.Batch) Verdict { panic("handed over") }
	f.Add([]byte{})
	f.Add([]byte("edge-1 gAAAAA"))
	other := newBench(f)
	plain, _ := plaintexts(f, 1, 1472, 10)
	f.Add(other.datagram(f, plain[0]))
	f.Fuzz(func(t *testing.T, d []byte) {
		if r := b.take(d); r.Authentic() {
			t.Errorf("ended as %v", r)
		}
	})
}

// FuzzPlaintext seals any octets with a valid key: what a key holder can send. Whatever it is, it ends in a reason, and
// what is handed over is valid, with the sensor that the key belongs to.
func FuzzPlaintext(f *testing.F) {
	plain, _ := plaintexts(f, 3, 1472, 3)
	for _, p := range plain {
		f.Add(p)
		f.Add(p[:len(p)/2])
	}
	for kind := wire.Flows; kind.Valid(); kind++ {
		f.Add(wire.AppendHeader(nil, wire.Header{Kind: kind, ID: testID, Boot: 1, TX: 1}))
	}
	f.Add([]byte{})
	b := newFuzz(f)
	var taken *flow.Batch
	b.sink = func(batch *flow.Batch) Verdict {
		taken = batch
		return Accepted
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > seal.MaxPlaintext(DefaultMaxDatagram, len(testID)) {
			return
		}
		b.forget()
		taken = nil
		d := b.datagram(t, p)
		r := b.take(d)
		if len(d) <= 65507 && !r.Authentic() {
			t.Fatalf("an authentic datagram ended as %v", r)
		}
		if (r == ReasonAccepted) != (taken != nil) && !isProbe(p) {
			t.Fatalf("ended as %v, handed over: %v", r, taken != nil)
		}
		if taken == nil {
			return
		}
		checkBatch(t, taken)
		b.Settle(taken, Durable)
		if again := b.take(d); again != ReasonReplayed {
			t.Fatalf("the same again: %v", again)
		}
	})
}

func isProbe(plain []byte) bool {
	h, _, err := wire.ParseHeader(plain)
	return err == nil && h.Kind == wire.Probe
}

func checkBatch(t *testing.T, b *flow.Batch) {
	t.Helper()
	if b.Sensor != testID || len(b.Records) == 0 || b.Floor > b.Seq || b.Base < 0 {
		t.Fatalf("handed over %+v", b)
	}
	for i := range b.Records {
		if err := b.Records[i].Validate(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}
