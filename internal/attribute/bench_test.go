package attribute_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"flowsensor/internal/attribute"
	"flowsensor/internal/flow"
)

// large is a configuration of 1,000 prefixes, a fifth of them IPv6, and 100 rules of all kinds.
func large(rng *rand.Rand) attribute.Config {
	var c attribute.Config
	for i := range 200 {
		n := attribute.Network{Name: fmt.Sprintf("site-%03d", i), Ours: i%2 == 0}
		for j := range 4 {
			n.Prefixes = append(n.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j * 64), 0}), 18+rng.IntN(11)))
		}
		n.Prefixes = append(n.Prefixes, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i)}), 40+rng.IntN(25)))
		c.Networks = append(c.Networks, n)
	}
	for i := range 100 {
		r := attribute.Rule{
			Source: c.Networks[rng.IntN(200)].Name, Destination: c.Networks[rng.IntN(200)].Name, BothWays: i%2 == 0,
			Action: attribute.ActionPortMatch, Ports: []uint16{uint16(1 + rng.IntN(1000)), uint16(1024 + rng.IntN(1000)), 8080},
		}
		switch i % 4 {
		case 0:
			r.Destination = ""
		case 1:
			r.Source, r.Action = "", attribute.ActionAssign
			r.Client, r.Port = attribute.Source, attribute.Destination
		}
		c.Rules = append(c.Rules, r)
	}
	for i := range 50 {
		c.ServicePorts = append(c.ServicePorts, uint16(1024+137*i))
	}
	return c
}

// traffic gives records among the networks of large: TCP with and without a handshake, UDP, some of it IPv6.
func traffic(rng *rand.Rand, n int) []flow.Record {
	records := make([]flow.Record, n)
	for i := range records {
		r := &records[i]
		r.Version, r.Proto, r.Packets, r.Bytes = 4, flow.ProtoTCP, 1, 40
		r.SrcPort, r.DstPort = uint16(32768+rng.IntN(28000)), uint16(rng.IntN(10000))
		for _, a := range []*flow.Addr{&r.Src, &r.Dst} {
			*a = flow.AddrFrom4([]byte{10, byte(rng.IntN(220)), byte(rng.IntN(256)), byte(rng.IntN(256))})
		}
		if i%5 == 0 {
			r.Version = 6
			for _, a := range []*flow.Addr{&r.Src, &r.Dst} {
				*a = flow.Addr{Hi: 0x20010db8<<32 | uint64(rng.IntN(220))<<24 | uint64(rng.IntN(4)), Lo: rng.Uint64()}
			}
		}
		if i%3 == 0 {
			r.Src, r.Dst, r.SrcPort, r.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
			r.Handshake = flow.SawSYNACK
		}
		if i%4 == 0 {
			r.Proto, r.Handshake = flow.ProtoUDP, 0
		}
	}
	return records
}

// processTime is the processor time used so far: unlike the time that passed it does not count what neighbours take.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// One core, all records: 1,000 prefixes and 100 rules cost a record as much as none of them, but for the walk of the trie.
func BenchmarkAttribute(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	all := large(rng)
	records := traffic(rng, 1<<14)
	for _, c := range []struct {
		name   string
		config attribute.Config
	}{
		{"empty", attribute.Config{}},
		{"prefixes=1000", attribute.Config{Networks: all.Networks}},
		{"prefixes=1000/rules=100", all},
	} {
		b.Run(c.name, func(b *testing.B) {
			rules, _, err := attribute.Compile(c.config)
			if err != nil {
				b.Fatal(err)
			}
			stage := attribute.NewStage(rules)
			into := make([]flow.Attribution, 0, 64)
			b.ReportAllocs()
			at := 0
			before := processTime(b)
			for b.Loop() {
				into = stage.Attribute(into[:0], records[at:at+64])
				at = (at + 64) % len(records)
			}
			b.ReportMetric(float64(processTime(b)-before)/float64(b.N)/64, "cpu-ns/flow")
		})
	}
}

// What the compiled form is there for: the configuration read as it is written, network by network and rule by rule.
func BenchmarkListScan(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	plain := reference{large(rng)}
	records := traffic(rng, 1<<10)
	before, at := processTime(b), 0
	for b.Loop() {
		_ = plain.roles(&records[at])
		at = (at + 1) % len(records)
	}
	b.ReportMetric(float64(processTime(b)-before)/float64(b.N), "cpu-ns/flow")
}
