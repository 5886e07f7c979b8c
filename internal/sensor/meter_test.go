package sensor

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// tcpFrame is a TCP segment over IPv4 of the flow with that number, 100 octets of IP.
func tcpFrame(number uint32) []byte {
	f := make([]byte, 14+100)
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, flow.ProtoTCP
	binary.BigEndian.PutUint16(ip[2:], 100)
	binary.BigEndian.PutUint32(ip[12:], 0x0a000000|number>>16)
	binary.BigEndian.PutUint32(ip[16:], 0x0a800001)
	binary.BigEndian.PutUint16(ip[20:], uint16(number))
	binary.BigEndian.PutUint16(ip[22:], 443)
	ip[32], ip[33] = 0x50, byte(flow.ACK)
	return f
}

func udpFrame(from, to netip.AddrPort) []byte {
	f := tcpFrame(0)
	ip := f[14:]
	ip[9] = flow.ProtoUDP
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(ip[20:], from.Port())
	binary.BigEndian.PutUint16(ip[22:], to.Port())
	return f
}

func newMeter(tb testing.TB, flows int, emit func(*flow.Record)) *meter {
	tb.Helper()
	c := Defaults().Flows
	c.MaxFlows = flows
	table, err := flowtable.New(c.table(), emit)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = table.Close() })
	return &meter{table: table, decoder: packet.NewDecoder(c.decoder()), time: newClock()}
}

func visitAll(m *meter, frames ...[]byte) {
	for _, data := range frames {
		m.visit(&frame.Frame{Data: data, Len: uint32(len(data)), Link: frame.Ethernet, Time: time.Now().UnixNano()})
	}
	m.flush()
	m.publish()
}

// Whatever comes, every packet and byte is accounted or refused under a name.
func TestMeterBalances(t *testing.T) {
	var packets, bytes uint64
	m := newMeter(t, 16, func(r *flow.Record) { packets += r.Packets; bytes += r.Bytes })
	local, remote := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("192.0.2.2:9999")
	m.own = &ownTraffic{}
	m.own.set(export.Endpoints{Local: local, Remote: remote})
	arp := append(make([]byte, 12), 0x08, 0x06)
	for i := range uint32(100) { // more flows than the table holds
		visitAll(m, tcpFrame(i), arp, tcpFrame(i)[:20], udpFrame(local, remote), udpFrame(remote, local), udpFrame(remote, remote))
	}
	l := newLedger()
	m.balance(l)
	if !l.Balanced() || l.Packets.Read != 600 || l.Packets.Accounted != 200 || l.Bytes.Accounted != 200*100 {
		t.Errorf("%+v", l)
	}
	for reason, n := range map[string]uint64{"arp": 100, "ipv4_truncated": 100, "own_traffic": 200} {
		if l.Packets.Refused[reason] != n {
			t.Errorf("%d packets refused as %s, want %d", l.Packets.Refused[reason], reason, n)
		}
	}
	if l.Flows == 0 || l.Packets.Exported == l.Packets.Accounted {
		t.Errorf("nothing is left in the table: %+v", l)
	}
	m.table.Flush(m.time.convert(nil), flow.EndShutdown)
	l = newLedger()
	m.balance(l)
	if !l.Balanced() || l.Packets.Exported != packets || l.Bytes.Exported != bytes || packets != 200 || l.Flows != 0 {
		t.Errorf("emitted %d packets, %d bytes: %+v", packets, bytes, l)
	}
}

// Between two turns of a worker, too, what is accounted is covered by what was received and what merged frames stand for
// beyond that: a report never says that fewer than no packets are in hand.
func TestMergedPacketsAreNotAccountedAhead(t *testing.T) {
	m := newMeter(t, 16, func(*flow.Record) {})
	data := tcpFrame(1) // 60 octets of payload: three segments
	for range batchSize {
		m.visit(&frame.Frame{
			Data: data, Len: uint32(len(data)), Link: frame.Ethernet, Time: time.Now().UnixNano(), SegmentSize: 20, SegmentProto: flow.ProtoTCP,
		})
	}
	l := newLedger()
	m.balance(l) // of a batch that the table has, in a turn that has not ended
	if l.Packets.Accounted != 3*batchSize || l.Packets.Accounted > batchSize+l.Packets.GSOExtra {
		t.Errorf("%d accounted of %d frames that stand for %d more", l.Packets.Accounted, batchSize, l.Packets.GSOExtra)
	}
}

// While the sender moves, datagrams leave on the old ends and on the new.
func TestOwnTrafficKnowsOldAndNewEnds(t *testing.T) {
	end := func(local, remote string) export.Endpoints {
		return export.Endpoints{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}
	}
	var own ownTraffic
	if own.is(&flow.Key{}) {
		t.Error("something is own traffic before there is any")
	}
	from, to := end("192.0.2.1:4000", "192.0.2.2:9999"), end("[2001:db8::1]:4001", "[2001:db8::2]:9999")
	own.set(from, to)
	key := func(a, b netip.AddrPort) *flow.Key {
		k := &flow.Key{SrcPort: a.Port(), DstPort: b.Port()}
		k.Src, k.Version = flow.AddrFrom(a.Addr())
		k.Dst, _ = flow.AddrFrom(b.Addr())
		return k
	}
	for _, e := range []export.Endpoints{from, to} {
		if !own.is(key(e.Local, e.Remote)) || !own.is(key(e.Remote, e.Local)) {
			t.Errorf("%v is not recognised", e)
		}
		other := netip.AddrPortFrom(e.Local.Addr(), 5000)
		if own.is(key(other, e.Remote)) {
			t.Errorf("port 5000 is taken for %v", e)
		}
	}
}

func TestVisitDoesNotAllocate(t *testing.T) {
	m := newMeter(t, 4096, func(*flow.Record) {})
	m.own = &ownTraffic{}
	frames := [][]byte{tcpFrame(1), tcpFrame(2), append(make([]byte, 12), 0x08, 0x06), udpFrame(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))}
	f := &frame.Frame{Link: frame.Ethernet, Time: time.Now().UnixNano()}
	number := 0
	if n := testing.AllocsPerRun(10_000, func() {
		f.Data = frames[number%len(frames)]
		f.Len = uint32(len(f.Data))
		number++
		m.visit(f)
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

// BenchmarkVisit is the whole path from a frame in memory to its flow: decoder, clock and table.
func BenchmarkVisit(b *testing.B) {
	for _, flows := range []uint32{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			m := newMeter(b, 1<<20, func(*flow.Record) {})
			data := make([]byte, 0, int(flows)*128)
			for i := range flows {
				data = append(data, append(tcpFrame(i), make([]byte, 14)...)...)
			}
			f := &frame.Frame{Link: frame.Ethernet, Len: 114}
			at, step := uint32(0), flows*6/10+1
			b.ReportAllocs()
			for b.Loop() {
				at = (at + step) % flows
				f.Data = data[int(at)*128 : int(at)*128+114]
				m.visit(f)
			}
		})
	}
}
