package wire_test

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// netflow9 packs records as NetFlow version 9 (RFC 3954) does, to compare with: no more than the lengths.
type netflow9 struct {
	lengths map[uint16]int // of the records of each template
}

// Numbers of softflowd's templates.
const (
	nf9IPv4     = 1024
	nf9IPv4ICMP = 1025
	nf9IPv6     = 2048
	nf9IPv6ICMP = 2049
)

// readNetflow9 reads the template flow sets that softflowd 1.1.0 exports.
func readNetflow9(tb testing.TB) netflow9 {
	tb.Helper()
	b, err := os.ReadFile("testdata/netflow/v9-templates.bin")
	if err != nil {
		tb.Fatal(err)
	}
	n := netflow9{lengths: map[uint16]int{}}
	for len(b) > 0 {
		set := b[4:binary.BigEndian.Uint16(b[2:])]
		b = b[4+len(set):]
		for len(set) >= 4 {
			id, fields := binary.BigEndian.Uint16(set), int(binary.BigEndian.Uint16(set[2:]))
			for i := range fields {
				n.lengths[id] += int(binary.BigEndian.Uint16(set[4+4*i+2:]))
			}
			set = set[4+4*fields:]
		}
	}
	return n
}

func (n netflow9) template(r *flow.Record) uint16 {
	icmp := r.Proto == flow.ProtoICMP || r.Proto == flow.ProtoICMPv6
	switch {
	case r.Version == 4 && icmp:
		return nf9IPv4ICMP
	case r.Version == 4:
		return nf9IPv4
	case icmp:
		return nf9IPv6ICMP
	default:
		return nf9IPv6
	}
}

// pack gives the datagrams that records take, each as full as it can be, and their octets; templates are left out.
func (n netflow9) pack(records []flow.Record, limit int) (datagrams, octets int) {
	const header, setHeader = 20, 4
	padded := func(n int) int { return (n + 3) &^ 3 }
	used, last := 0, uint16(0)
	for i := range records {
		id := n.template(&records[i])
		next := used + n.lengths[id]
		if id != last {
			next = padded(used) + setHeader + n.lengths[id]
		}
		if used == 0 || padded(next) > limit {
			octets += padded(used)
			datagrams++
			next = header + setHeader + n.lengths[id]
		}
		used, last = next, id
	}
	return datagrams, octets + padded(used)
}

// BenchmarkDensity says how many flows of real captures a datagram of 1472 octets holds, and what a flow takes of the network, UDP
// payload alone: ours with seal and id, NetFlow version 9 with the templates of softflowd, in the clear and packed full.
func BenchmarkDensity(b *testing.B) {
	const limit = 1472
	records := corpusRecords(b)
	key, err := seal.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	sealer, err := seal.NewSealer("edge-1", key)
	if err != nil {
		b.Fatal(err)
	}
	var datagrams, octets int
	for b.Loop() {
		datagrams, octets = 0, 0
		for _, body := range bodies(b, records, datagramBody) {
			plain := append(wire.AppendHeader(nil, wire.Header{Kind: wire.Flows, ID: "edge-1", Boot: uint64(noon), TX: 1}), body...)
			datagram, err := sealer.Seal(nil, plain, time.Unix(0, noon))
			if err != nil || len(datagram) > limit {
				b.Fatal(len(datagram), err)
			}
			datagrams++
			octets += len(datagram)
		}
	}
	flows := float64(len(records))
	b.ReportMetric(flows/float64(datagrams), "flows/datagram")
	b.ReportMetric(float64(octets)/flows, "octets/flow")
	datagrams, octets = readNetflow9(b).pack(records, limit)
	b.ReportMetric(flows/float64(datagrams), "netflow9-flows/datagram")
	b.ReportMetric(float64(octets)/flows, "netflow9-octets/flow")
	b.ReportMetric(0, "ns/op")
}
