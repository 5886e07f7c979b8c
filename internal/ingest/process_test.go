package ingest

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

const testID = "edge-1"

// bench is a processor without a socket, and a sensor that it knows.
type bench struct {
	*processor
	sealer *seal.Sealer
	now    time.Time
	from   netip.AddrPort
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	opener, err := seal.NewOpener([]seal.Sensor{{ID: testID, Keys: []seal.Key{key}}}, seal.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	sealer, err := seal.NewSealer(testID, key)
	if err != nil {
		tb.Fatal(err)
	}
	cfg, err := Config{Listen: make([]netip.AddrPort, 1)}.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	s := newServer(cfg, opener, slog.New(slog.DiscardHandler))
	b := &bench{sealer: sealer, now: time.Unix(1_700_000_000, 0), from: netip.MustParseAddrPort("192.0.2.1:4321")}
	b.processor = &processor{Server: s, sink: func(batch *flow.Batch) Verdict {
		s.Settle(batch, Durable)
		return Accepted
	}}
	return b
}

// forget makes the sensor one that was never heard.
func (b *bench) forget() {
	keys := b.keys.Load()
	b.keys.Store(&keyring{opener: keys.opener, sensors: map[string]*sensor{testID: {id: testID}}})
}

func (b *bench) datagram(tb testing.TB, plain []byte) []byte {
	tb.Helper()
	d, err := b.sealer.Seal(nil, plain, b.now)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func (b *bench) take(d []byte) Reason {
	return b.process(&arrival{payload: d, from: b.from, received: b.now}, b.now)
}

// plaintexts makes n flows datagrams of random records: as many as fit into size octets, but at most limit. It says how
// many records each holds on average.
func plaintexts(tb testing.TB, n, size, limit int) (plain [][]byte, records float64) {
	tb.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	enc := wire.NewFlowsEncoder(seal.MaxPlaintext(size, len(testID)) - wire.HeaderLen(len(testID)))
	total := 0
	for i := range n {
		enc.Reset()
		for enc.Len() < limit {
			r := randomRecord(rng)
			if !enc.Add(&r, "eth0") {
				break
			}
		}
		total += enc.Len()
		p := wire.AppendHeader(nil, wire.Header{Kind: wire.Flows, ID: testID, Boot: 1, TX: uint64(i + 1)})
		plain = append(plain, enc.AppendBody(p, wire.Numbers{Boot: 1, Seq: uint64(i + 1), Floor: 1, Base: 1_700_000_000_000_000_000}))
	}
	return plain, float64(total) / float64(n)
}

// randomRecord is one of a site with some hundred hosts.
func randomRecord(rng *rand.Rand) flow.Record {
	packets := 1 + rng.Uint64N(200)
	first := 1_700_000_000_000_000_000 + rng.Int64N(60_000_000)*1000
	return flow.Record{
		Key: flow.Key{
			Version: 4, Proto: flow.ProtoTCP, IfIndex: 2,
			Src: flow.Addr{Lo: 0x0a000000 + rng.Uint64N(500)}, Dst: flow.Addr{Lo: rng.Uint64N(1 << 32)},
			SrcPort: uint16(32768 + rng.IntN(28000)), DstPort: 443,
		},
		Packets: packets, Bytes: packets * (60 + rng.Uint64N(1400)), First: first, Last: first + rng.Int64N(10_000_000)*1000,
		TCPFlags: flow.SYN | flow.ACK | flow.PSH | flow.FIN, EndReason: flow.EndFIN, Handshake: flow.SawSYN,
	}
}

// What a datagram costs in allocations does not depend on how many records it brings.
func TestAllocationsPerDatagram(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	measure := func(limit int) float64 {
		b := newBench(t)
		var sealed [][]byte
		plain, _ := plaintexts(t, 200, 1472, limit)
		for _, p := range plain {
			sealed = append(sealed, b.datagram(t, p))
		}
		next := 0
		return testing.AllocsPerRun(len(sealed)-1, func() {
			if r := b.take(sealed[next]); r != ReasonAccepted {
				t.Fatal(r)
			}
			next++
		})
	}
	one, full := measure(1), measure(1000)
	t.Logf("allocations of a datagram: %v with one record, %v with as many as fit", one, full)
	if full > one+1 || full > 20 {
		t.Errorf("%v allocations for a datagram with one record, %v for a full one", one, full)
	}
}

// Refusals before authentication cost next to nothing.
func TestJunkDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	b := newBench(t)
	good := b.datagram(t, make([]byte, 500))
	for name, d := range map[string][]byte{
		"short":      good[:50],
		"shape":      make([]byte, 1472),
		"unknown id": append([]byte("x"), good...),
	} {
		b.take(d) // the first of each reason is logged
		if n := testing.AllocsPerRun(100, func() { b.take(d) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
