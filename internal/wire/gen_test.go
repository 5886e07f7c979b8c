package wire_test

import (
	"math/rand/v2"
	"net/netip"

	"flowsensor/internal/flow"
)

const noon = int64(1_795_348_800_000_000_000) // 2026-11-22T12:00:00Z

// traffic makes flows as a sensor sees them, the same for the same seed.
type traffic struct {
	*rand.Rand
	now int64
}

func newTraffic(seed uint64) *traffic {
	return &traffic{Rand: rand.New(rand.NewPCG(seed, 7)), now: noon}
}

func (t *traffic) ns(most int64) int64 { return t.Int64N(most) }

func (t *traffic) ephemeral() uint16 { return uint16(32768 + t.IntN(28232)) }

// inside is a host of a network of 4000, some busier than others; outside is anywhere.
func (t *traffic) inside() flow.Addr {
	return flow.Addr{Lo: 10<<24 | uint64(t.IntN(16)*t.IntN(2))<<8 | uint64(1+t.IntN(250))}
}

func (t *traffic) outside() flow.Addr {
	if t.IntN(3) == 0 { // the popular ones
		return flow.Addr{Lo: 142<<24 | 250<<16 | uint64(t.IntN(40))}
	}
	return flow.Addr{Lo: uint64(0x20000000 + t.Uint32N(0xa0000000))}
}

func (t *traffic) inside6() flow.Addr {
	return flow.Addr{Hi: 0x20010db800010000 | uint64(t.IntN(8)), Lo: t.Uint64() | 1<<63}
}

func (t *traffic) outside6() flow.Addr {
	return flow.Addr{Hi: 0x2a00145040000000 | uint64(t.IntN(64))<<16, Lo: uint64(t.IntN(4096))}
}

// reverse gives the other direction of r.
func reverse(r flow.Record) flow.Record {
	r.Src, r.Dst, r.SrcPort, r.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
	return r
}

// tcp is a connection: both its flows.
func (t *traffic) tcp(src, dst flow.Addr, version uint8) []flow.Record {
	t.now += t.ns(2e6)
	span := t.ns(8e9)
	up := flow.Record{
		Key: flow.Key{
			Src: src, Dst: dst, SrcPort: t.ephemeral(), DstPort: []uint16{443, 443, 443, 80, 22, 993}[t.IntN(6)], IfIndex: 3,
			Proto: flow.ProtoTCP, Version: version,
		},
		Packets: uint64(4 + t.IntN(60)), First: t.now - 2e9 - span, Last: t.now - 2e9 - t.ns(2e8),
		TCPFlags: flow.FIN | flow.SYN | flow.ACK | flow.PSH, EndReason: flow.EndFIN, Handshake: flow.SawSYN,
	}
	up.Bytes = up.Packets*52 + uint64(t.IntN(4000))
	down := reverse(up)
	down.Handshake, down.ToS = flow.SawSYNACK, uint8(t.IntN(2)*0x48)
	down.First, down.Last = up.First+t.ns(3e7), up.Last+t.ns(3e7)
	down.Packets = up.Packets + uint64(t.IntN(30))
	down.Bytes = down.Packets*52 + uint64(t.IntN(200000))
	if t.IntN(5) == 0 {
		down.TCPFlags, down.EndReason = down.TCPFlags|flow.RST, flow.EndRST
	}
	return []flow.Record{up, down}
}

// dns is a question and its answer.
func (t *traffic) dns(version uint8) []flow.Record {
	t.now += t.ns(1e6)
	question := flow.Record{
		Key: flow.Key{
			Src: t.inside(), Dst: flow.Addr{Lo: 10<<24 | 53}, SrcPort: t.ephemeral(), DstPort: 53, IfIndex: 3, Proto: flow.ProtoUDP, Version: version,
		},
		Packets: 1, Bytes: uint64(55 + t.IntN(40)), First: t.now - 15e9 - t.ns(1e9), EndReason: flow.EndIdle,
	}
	if version == 6 {
		question.Src, question.Dst = t.inside6(), flow.Addr{Hi: 0x20010db800010000, Lo: 53}
	}
	question.Last = question.First
	answer := reverse(question)
	answer.Bytes += uint64(16 + t.IntN(300))
	answer.First += t.ns(4e7)
	answer.Last = answer.First
	return []flow.Record{question, answer}
}

// mix makes n records of a named kind of traffic.
func mix(name string, n int) []flow.Record {
	t := newTraffic(1)
	var records []flow.Record
	for len(records) < n {
		switch kind := t.IntN(10); {
		case name == "tcp":
			records = append(records, t.tcp(t.inside(), t.outside(), 4)...)
		case name == "dns":
			records = append(records, t.dns(4)...)
		case name == "v6":
			records = append(records, t.tcp(t.inside6(), t.outside6(), 6)...)
		case kind < 5:
			records = append(records, t.tcp(t.inside(), t.outside(), 4)...)
		case kind < 7:
			records = append(records, t.dns(4)...)
		case kind < 9:
			records = append(records, t.tcp(t.inside6(), t.outside6(), 6)...)
		default:
			records = append(records, t.scan())
		}
	}
	return records[:n]
}

// scan is a lone SYN from anywhere.
func (t *traffic) scan() flow.Record {
	t.now += t.ns(1e6)
	at := t.now - 15e9
	return flow.Record{
		Key: flow.Key{
			Src: t.outside(), Dst: t.inside(), SrcPort: uint16(t.Uint32()), DstPort: uint16(t.Uint32()), IfIndex: 3, Proto: flow.ProtoTCP, Version: 4,
		},
		Packets: 1, Bytes: 40, First: at, Last: at, TCPFlags: flow.SYN, EndReason: flow.EndIdle, Handshake: flow.SawSYN,
	}
}

// pick gives one of few values, so that they come again, or the one given.
func (t *traffic) pick(random uint64) uint64 {
	switch t.IntN(4) {
	case 0:
		return 0
	case 1:
		return random
	case 2:
		return ^uint64(0)
	default:
		return uint64(t.IntN(3))
	}
}

// anything is a valid record of which every field may have every value that it can have.
func (t *traffic) anything() flow.Record {
	r := flow.Record{
		Key: flow.Key{
			Src: flow.Addr{Hi: t.pick(t.Uint64()), Lo: t.pick(t.Uint64())}, Dst: flow.Addr{Hi: t.pick(t.Uint64()), Lo: t.pick(t.Uint64())},
			IfIndex: uint32(t.pick(t.Uint64())), SrcPort: uint16(t.pick(t.Uint64())), DstPort: uint16(t.pick(t.Uint64())),
			VLAN: flow.VLAN(t.pick(t.Uint64())), VLANInner: flow.VLAN(t.pick(t.Uint64())),
			Proto: uint8(t.pick(t.Uint64())), ToS: uint8(t.pick(t.Uint64())), Version: uint8(4 + 2*t.IntN(2)),
		},
		Bytes: t.pick(t.Uint64()) % (flow.MaxCount + 1), Packets: 1 + t.pick(t.Uint64())%flow.MaxCount,
		TCPFlags: uint16(t.pick(t.Uint64())), EndReason: flow.EndReason(1 + t.IntN(int(flow.EndEOF))), Handshake: uint8(t.pick(t.Uint64())),
		VLAN: flow.VLAN(t.pick(t.Uint64())), VLANInner: flow.VLAN(t.pick(t.Uint64())),
		NextHop: flow.Addr{Hi: t.pick(t.Uint64()), Lo: t.pick(t.Uint64())}, OutIf: uint32(t.pick(t.Uint64())),
		SrcAS: uint32(t.pick(t.Uint64())), DstAS: uint32(t.pick(t.Uint64())), Sampling: uint32(t.pick(t.Uint64())),
		SrcMask: uint8(t.pick(t.Uint64())) % 130, DstMask: uint8(t.pick(t.Uint64())) % 130,
	}
	r.Last = int64(t.pick(t.Uint64()) % uint64(flow.MaxTime+1))
	r.First = int64(t.pick(t.Uint64()) % uint64(r.Last+1))
	if r.Version == 4 {
		for _, a := range []*flow.Addr{&r.Src, &r.Dst, &r.NextHop} {
			a.Hi, a.Lo = 0, a.Lo>>32
		}
		r.SrcMask, r.DstMask = r.SrcMask%34, r.DstMask%34
	}
	return r
}

// some makes n records of anything, in which endpoints and all else come again.
func (t *traffic) some(n int) []flow.Record {
	records := make([]flow.Record, n)
	for i := range records {
		r := t.anything()
		if i > 0 {
			switch other := records[t.IntN(i)]; t.IntN(6) {
			case 0:
				r = reverse(other)
				r.First = other.First - t.ns(other.First+1)
			case 1:
				r = other
				r.ToS++
			case 2:
				r.Src = other.Dst
			case 3:
				r.Dst.Hi = other.Src.Hi
			}
			if r.Version == 4 {
				r.Src.Hi, r.Dst.Hi = 0, 0
				r.Src.Lo, r.Dst.Lo, r.NextHop = r.Src.Lo&0xffffffff, r.Dst.Lo&0xffffffff, flow.Addr{Lo: r.NextHop.Lo & 0xffffffff}
				r.SrcMask, r.DstMask = r.SrcMask%34, r.DstMask%34
			}
		}
		records[i] = r
	}
	return records
}

// named makes n records of anything from interfaces that ifaceOf knows.
func (t *traffic) named(n int) []flow.Record {
	records := t.some(n)
	for i := range records {
		records[i].IfIndex = uint32(t.IntN(4))
	}
	return records
}

func addr(text string) flow.Addr {
	a, _ := flow.AddrFrom(netip.MustParseAddr(text))
	return a
}
