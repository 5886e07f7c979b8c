package flow_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"

	"flowsensor/internal/flow"
)

func addr(t *testing.T, text string) flow.Addr {
	t.Helper()
	a, _ := flow.AddrFrom(netip.MustParseAddr(text))
	return a
}

func TestAddrKeepsFamilyApart(t *testing.T) {
	for _, text := range []string{"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "::ffff:192.0.2.1"} {
		want := netip.MustParseAddr(text)
		a, version := flow.AddrFrom(want)
		if got := a.Netip(version); got != want {
			t.Errorf("%s came back as %s", want, got)
		}
	}
	if _, version := flow.AddrFrom(netip.Addr{}); version != 0 {
		t.Errorf("the zero address has version %d", version)
	}
}

func TestVLANZeroIsPresent(t *testing.T) {
	if _, ok := flow.VLAN(0).ID(); ok {
		t.Error("the zero VLAN is present")
	}
	for _, tci := range []uint16{0, 1, 0xfff, 0xe005} {
		id, ok := flow.VLANFromTCI(tci).ID()
		if !ok || id != tci&0xfff {
			t.Errorf("TCI %#x gave %d, %v", tci, id, ok)
		}
	}
}

func TestHandshakeOf(t *testing.T) {
	for flags, want := range map[uint16]uint8{
		flow.SYN: flow.SawSYN, flow.SYN | flow.ECE | flow.CWR: flow.SawSYN, flow.SYN | flow.ACK: flow.SawSYNACK,
		flow.ACK: 0, flow.FIN | flow.ACK: 0, 0: 0,
	} {
		if got := flow.HandshakeOf(flags); got != want {
			t.Errorf("flags %#x gave %d, want %d", flags, got, want)
		}
	}
}

func valid(t *testing.T) flow.Record {
	t.Helper()
	return flow.Record{
		Key:   flow.Key{Src: addr(t, "192.0.2.1"), Dst: addr(t, "198.51.100.7"), Proto: flow.ProtoTCP, Version: 4},
		Bytes: 40, Packets: 1, First: 1, Last: 1, EndReason: flow.EndIdle,
	}
}

func TestValidate(t *testing.T) {
	good := valid(t)
	if err := good.Validate(); err != nil {
		t.Fatalf("a good record is refused: %v", err)
	}
	for name, c := range map[string]struct {
		spoil func(*flow.Record)
		want  error
	}{
		"version":         {func(r *flow.Record) { r.Version = 5 }, flow.ErrVersion},
		"wide IPv4":       {func(r *flow.Record) { r.Dst.Hi = 1 }, flow.ErrAddress},
		"wide next hop":   {func(r *flow.Record) { r.NextHop.Lo = 1 << 32 }, flow.ErrAddress},
		"end reason":      {func(r *flow.Record) { r.EndReason = 0 }, flow.ErrEndReason},
		"end reason high": {func(r *flow.Record) { r.EndReason = 200 }, flow.ErrEndReason},
		"backwards":       {func(r *flow.Record) { r.First = 2 }, flow.ErrTimes},
		"before 1970":     {func(r *flow.Record) { r.First = -1 }, flow.ErrTimes},
		"far future":      {func(r *flow.Record) { r.Last = flow.MaxTime + 1 }, flow.ErrTimes},
		"no packets":      {func(r *flow.Record) { r.Packets = 0 }, flow.ErrCounts},
		"too many bytes":  {func(r *flow.Record) { r.Bytes = flow.MaxCount + 1 }, flow.ErrCounts},
		"mask":            {func(r *flow.Record) { r.SrcMask = 34 }, flow.ErrMask},
	} {
		r := valid(t)
		c.spoil(&r)
		if err := r.Validate(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestRecordJSON(t *testing.T) {
	r := valid(t)
	r.VLAN, r.SrcMask, r.NextHop = flow.VLANFromTCI(0), 1, addr(t, "192.0.2.254")
	r.First, r.Last = 1_700_000_000_000_000_001, 1_700_000_000_500_000_000
	got, err := json.Marshal(flow.Named{Record: &r, Iface: "eth1"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"src":"192.0.2.1","dst":"198.51.100.7","src_port":0,"dst_port":0,"proto":6,"tos":0,"if_index":0,"iface":"eth1",` +
		`"vlan":0,"bytes":40,"packets":1,"first":"2023-11-14T22:13:20.000000001Z","last":"2023-11-14T22:13:20.500000000Z",` +
		`"tcp_flags":0,"handshake":0,"end_reason":"idle","next_hop":"192.0.2.254","src_mask":0}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
