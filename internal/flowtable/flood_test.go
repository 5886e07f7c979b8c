package flowtable_test

import (
	"math/rand/v2"
	"testing"

	"flowsensor/internal/flow"
)

// load accounts one packet of each key and gives the longest probe.
func load(b *bench, keys []flow.Key) uint64 {
	for len(keys) > 0 {
		batch := make([]flow.Packet, min(64, len(keys)))
		for i := range batch {
			batch[i] = flow.Packet{Key: keys[i], Packets: 1, Bytes: 40}
		}
		b.Account(batch, 0)
		keys = keys[len(batch):]
	}
	return b.Stats().LongestProbe
}

// TestFloodOfChosenKeys: keys that all meet in one bucket of the attacker's own table are nothing special in another.
func TestFloodOfChosenKeys(t *testing.T) {
	const flows = 6000
	attacker, victim := newTable(t, defaults(flows)), newTable(t, defaults(flows))
	var chosen []flow.Key
	for n := uint64(0); len(chosen) < flows/2; n++ {
		k := flow.Key{Src: flow.Addr{Lo: n & 0xffffffff}, Dst: flow.Addr{Lo: 1}, SrcPort: uint16(n >> 32), Proto: flow.ProtoUDP, Version: 4}
		if attacker.Home(k) < 8 {
			chosen = append(chosen, k)
		}
	}
	if longest := load(attacker, chosen); longest < 100 {
		t.Fatalf("the keys are not well chosen: longest probe %d", longest)
	}
	if longest := load(victim, chosen); longest > 6 {
		t.Errorf("chosen keys make a probe of %d buckets", longest)
	}
}

// TestRegularKeysSpread: what scanners and tests produce, keys that differ in few bits, fills the index evenly.
func TestRegularKeysSpread(t *testing.T) {
	const flows = 60_000
	random := rand.New(rand.NewPCG(7, 8))
	base := flow.Key{Src: flow.Addr{Lo: 0x0a000001}, Dst: flow.Addr{Lo: 0xc0000201}, SrcPort: 40_000, DstPort: 443, Proto: flow.ProtoTCP, Version: 4}
	v6 := base
	v6.Version, v6.Src, v6.Dst = 6, flow.Addr{Hi: 0x20010db8 << 32, Lo: 1}, flow.Addr{Hi: 0x20010db8 << 32, Lo: 2}
	for name, key := range map[string]func(n uint64) flow.Key{
		"random":          func(uint64) flow.Key { k := base; k.Src.Lo = random.Uint64(); return k },
		"port scan":       func(n uint64) flow.Key { k := base; k.DstPort = uint16(n); return k },
		"address scan":    func(n uint64) flow.Key { k := base; k.Dst.Lo += n; return k },
		"addresses x256":  func(n uint64) flow.Key { k := base; k.Dst.Lo += n << 8; return k },
		"both ports":      func(n uint64) flow.Key { k := base; k.SrcPort, k.DstPort = uint16(n), uint16(n); return k },
		"IPv6 low half":   func(n uint64) flow.Key { k := v6; k.Src.Lo += n; return k },
		"IPv6 high half":  func(n uint64) flow.Key { k := v6; k.Src.Hi += n << 32; return k },
		"IPv6 same bits":  func(n uint64) flow.Key { k := v6; k.Src.Hi, k.Src.Lo = n, n; return k },
		"src equals dst":  func(n uint64) flow.Key { k := v6; k.Src.Lo, k.Dst.Lo = n, n; return k },
		"interface index": func(n uint64) flow.Key { k := base; k.IfIndex = uint32(n); return k },
	} {
		b := newTable(t, defaults(flows))
		keys := make([]flow.Key, flows)
		for n := range keys {
			keys[n] = key(uint64(n))
		}
		longest := load(b, keys)
		if b.Len() != flows {
			t.Errorf("%s: %d flows held", name, b.Len())
		}
		if _, overflow := b.Indexed(); longest > 7 || overflow > flows/50 {
			t.Errorf("%s: longest probe %d, %d displacements", name, longest, overflow)
		}
	}
}

// TestIndexDoesNotRot: after many flows came and went, nothing of them is left in the index.
func TestIndexDoesNotRot(t *testing.T) {
	const flows = 3000
	b := newTable(t, defaults(flows))
	random := rand.New(rand.NewPCG(9, 10))
	batch := make([]flow.Packet, 50)
	now := int64(0)
	for range 5000 {
		for i := range batch {
			batch[i] = packetOf(random.Uint64N(20*flows), now)
		}
		b.Account(batch, now)
		b.Expire(now)
		now += 200e6
	}
	fresh := newTable(t, defaults(flows))
	fresh.Account(nil, now)
	if slots, overflow := b.Indexed(); slots != b.Len() || overflow > flows/50 {
		t.Errorf("%d flows held, %d slots used, %d displacements", b.Len(), slots, overflow)
	}
	b.Flush(flow.EndEOF)
	if slots, overflow := b.Indexed(); slots != 0 || overflow != 0 {
		t.Errorf("%d slots used, %d displacements in an empty table", slots, overflow)
	}
}
