package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

// dnsAnswers makes answers as a sensor sees them: popular names, chains to content networks, failures.
func (t *traffic) dnsAnswers(n int) []flow.DNSAnswer {
	hosts := []string{"www", "api", "cdn", "mail", "static", "login"}
	var all []flow.DNSAnswer
	for range n {
		t.now += t.ns(2e8)
		a := flow.DNSAnswer{
			Client: t.inside(), Server: flow.Addr{Lo: 10<<24 | 53}, Version: 4, Time: t.now / 1000 * 1000, QType: 1,
			Question: fmt.Sprintf("%s.site-%d.example", hosts[t.IntN(len(hosts))], t.IntN(40)),
		}
		if t.IntN(4) == 0 {
			a.Client, a.Server, a.Version = t.inside6(), flow.Addr{Hi: 0x20010db8 << 32, Lo: 53}, 6
		}
		if t.IntN(3) == 0 {
			a.QType = 28
		}
		switch t.IntN(8) {
		case 0:
			a.RCode, a.QType = uint16(2+t.IntN(2)), uint16([]int{1, 28, 15, 65}[t.IntN(4)])
		case 1: // no data
		case 2, 3:
			a.Chain = []string{fmt.Sprintf("site-%d.edge.example.net", t.IntN(40)), fmt.Sprintf("e%d.edge.example.net", t.IntN(40))}
			fallthrough
		default:
			life := uint32([]int{20, 60, 300, 3600}[t.IntN(4)])
			for range 1 + t.IntN(4) {
				if a.QType == 28 {
					a.Addresses = append(a.Addresses, flow.DNSAddress{Addr: t.outside6(), Version: 6, TTL: life})
				} else {
					a.Addresses = append(a.Addresses, flow.DNSAddress{Addr: t.outside(), Version: 4, TTL: life})
				}
			}
		}
		all = append(all, a)
	}
	return all
}

func encodeDNS(tb testing.TB, answers []flow.DNSAnswer) []byte {
	tb.Helper()
	e := wire.NewDNSEncoder(math.MaxInt)
	for i := range answers {
		if !e.Add(&answers[i]) {
			tb.Fatalf("answer %d of %d does not fit", i, len(answers))
		}
	}
	return e.AppendBody(nil, wire.Numbers{Boot: 3, Seq: 7, Floor: 5, Base: noon})
}

func parsedDNS(tb testing.TB, body []byte) flow.Batch {
	tb.Helper()
	var b flow.Batch
	if err := wire.ParseDNS(body, &b); err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestDNSComesBack(t *testing.T) {
	answers := newTraffic(3).dnsAnswers(500)
	for i := range answers {
		if err := answers[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	want := flow.Batch{Sensor: "edge-1", Boot: 3, Seq: 7, Floor: 5, Base: noon, Content: flow.DNSAnswers, Answers: answers, Interfaces: []flow.Interface{}, Records: []flow.Record{}, Readings: []flow.Reading{}}
	got := flow.Batch{Sensor: "edge-1", Interfaces: make([]flow.Interface, 2), Records: make([]flow.Record, 2), Readings: make([]flow.Reading, 1)} // of the batch before
	body := encodeDNS(t, answers)
	if err := wire.Parse(flow.DNSAnswers, body, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	wire.Renumber(body, wire.Numbers{Boot: 4, Seq: 9, Floor: 9, Base: 1})
	if got := parsedDNS(t, body); got.Boot != 4 || got.Seq != 9 || got.Floor != 9 || got.Base != 1 || !reflect.DeepEqual(got.Answers, answers) {
		t.Errorf("renumbered it is %+v", got)
	}
}

// The answers of one batch stay as they are when the batch is used again: whoever keeps names may.
func TestDNSBatchUsedAgain(t *testing.T) {
	first, second := newTraffic(3).dnsAnswers(50), newTraffic(4).dnsAnswers(50)
	b := parsedDNS(t, encodeDNS(t, first))
	kept := slices.Clone(b.Answers)
	if err := wire.ParseDNS(encodeDNS(t, second), &b); err != nil || !reflect.DeepEqual(b.Answers, second) || !reflect.DeepEqual(kept, first) {
		t.Errorf("%v: the answers of one batch became those of another", err)
	}
	records := newTraffic(5).named(3)
	if err := wire.Parse(flow.Flows, encode(t, records, ifaceOf), &b); err != nil || len(b.Answers) != 0 || len(b.Records) != 3 {
		t.Errorf("%v: %d answers stand beside %d records", err, len(b.Answers), len(b.Records))
	}
}

// A full batch holds to its limit, and what did not fit leaves no trace.
func TestDNSLimit(t *testing.T) {
	answers := newTraffic(9).dnsAnswers(3000)
	e := wire.NewDNSEncoder(985)
	batches, octets := 0, 0
	for rest := answers; len(rest) > 0; batches++ {
		n := 0
		for n < len(rest) && e.Add(&rest[n]) {
			n++
		}
		if n < len(rest) && e.Add(&rest[n]) {
			t.Fatal("it fits after it did not")
		}
		body := e.AppendBody(nil, wire.Numbers{Boot: math.MaxUint64, Seq: wire.MaxSeq, Floor: wire.MaxSeq, Base: flow.MaxTime})
		if n == 0 || e.Len() != n || len(body) != e.Size() || len(body) > 985 {
			t.Fatalf("%d answers in %d octets, said to be %d in %d", n, len(body), e.Len(), e.Size())
		}
		if got := parsedDNS(t, body).Answers; !reflect.DeepEqual(got, rest[:n]) {
			t.Fatalf("got  %+v\nwant %+v", got, rest[:n])
		}
		e.Reset()
		octets += len(body)
		rest = rest[n:]
	}
	t.Logf("%.1f answers a datagram, %.1f octets each", float64(len(answers))/float64(batches), float64(octets)/float64(len(answers)))
	if batches > len(answers)/15 {
		t.Errorf("%d datagrams for %d answers", batches, len(answers))
	}
}

func TestAnyAnswerFitsIntoMinDNSBody(t *testing.T) {
	long := strings.Repeat("\\255", 63) + ".a."
	a := flow.DNSAnswer{
		Client: flow.Addr{Hi: math.MaxUint64, Lo: math.MaxUint64}, Server: flow.Addr{Hi: math.MaxUint64}, Version: 6, Time: flow.MaxTime / 1000 * 1000,
		Question: long[:len(long)-3] + ".c", QType: math.MaxUint16, RCode: 4095,
	}
	for i := range flow.MaxDNSChain {
		a.Chain = append(a.Chain, strings.Repeat(string(rune('a'+i)), flow.MaxDNSChainOctets/flow.MaxDNSChain))
	}
	for i := range flow.MaxDNSAddresses {
		a.Addresses = append(a.Addresses, flow.DNSAddress{Addr: flow.Addr{Hi: math.MaxUint64, Lo: uint64(i)}, Version: 6, TTL: flow.MaxDNSTTL - uint32(i%2)})
	}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	e := wire.NewDNSEncoder(wire.MinDNSBody)
	if !e.Add(&a) {
		t.Fatal("it does not fit")
	}
	if got := parsedDNS(t, e.AppendBody(nil, wire.Numbers{Seq: 1, Floor: 1, Base: 1})).Answers; !reflect.DeepEqual(got, []flow.DNSAnswer{a}) {
		t.Errorf("got %+v", got)
	}
	full := wire.NewDNSEncoder(math.MaxInt)
	for range wire.MaxAnswers {
		full.Add(&a)
	}
	if full.Len() != wire.MaxAnswers || full.Add(&a) {
		t.Errorf("%d answers in a batch", full.Len())
	}
}

// dnsHead is what stands in front of the answers.
func dnsHead(count byte) string {
	e := wire.NewDNSEncoder(math.MaxInt)
	head := e.AppendBody(nil, wire.Numbers{Seq: 1, Floor: 1, Base: 1})
	return string(head[:len(head)-1]) + string([]byte{count})
}

func TestDNSRefused(t *testing.T) {
	good := dnsHead(1) + "\x00abcdwxyz\x00\x01a\x00\x00"
	if err := wire.ParseDNS([]byte(good), new(flow.Batch)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"empty":                    {"", wire.ErrTruncated},
		"coding":                   {"\x01" + good[1:], wire.ErrCoding},
		"no answers":               {dnsHead(0) + good[len(dnsHead(0)):], wire.ErrCount},
		"too many":                 {dnsHead(0)[:25] + "\x81\x08" + strings.Repeat("x", 8000), wire.ErrCount},
		"more than there can be":   {dnsHead(3) + good[26:], wire.ErrTruncated},
		"fewer than there are":     {good + "x", wire.ErrTrailing},
		"truncated":                {good[:len(good)-1], wire.ErrTruncated},
		"unknown shape":            {dnsHead(1) + "\x80" + good[27:], wire.ErrValue},
		"two types":                {dnsHead(1) + "\x30" + good[27:], wire.ErrValue},
		"the client before none":   {dnsHead(1) + "\x02" + good[27:], wire.ErrReference},
		"before 1970":              {dnsHead(1) + "\x00abcdwxyz\x01\x01a\x00\x00", wire.ErrValue},
		"a time out of range":      {dnsHead(1) + "\x00abcdwxyz\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01a\x00\x00", wire.ErrValue},
		"name before the first":    {dnsHead(1) + "\x00abcdwxyz\x00\x00\x01\x00\x00", wire.ErrValue},
		"name too long":            {dnsHead(1) + "\x00abcdwxyz\x00\x80\x02" + strings.Repeat("a", 256) + "\x00\x00", wire.ErrValue},
		"chain of none":            {dnsHead(1) + "\x40abcdwxyz\x00\x01a\x00\x00\x00", wire.ErrValue},
		"chain too long":           {dnsHead(1) + "\x40abcdwxyz\x00\x01a\x00\x09" + strings.Repeat("\x00\x01\x00", 9) + "\x00", wire.ErrValue},
		"skip beyond":              {dnsHead(1) + "\x40abcdwxyz\x00\x01a\x00\x01\x00\x01\x01\x00", wire.ErrReference},
		"skip into a label":        {dnsHead(1) + "\x40abcdwxyz\x00\x02ab\x00\x01\x00\x01\x01\x00", wire.ErrReference},
		"front without a dot":      {dnsHead(1) + "\x40abcdwxyz\x00\x01a\x00\x01\x01b\x01\x00\x00", wire.ErrReference},
		"joined too long":          {dnsHead(1) + "\x40abcdwxyz\x00\xff\x01" + strings.Repeat("a", 255) + "\x00\x01\x02b.\x01\x00\x00", wire.ErrReference},
		"too many addresses":       {dnsHead(1) + "\x00abcdwxyz\x00\x01a\x00\x11" + strings.Repeat("\x01abcd", 17), wire.ErrValue},
		"life of none before":      {dnsHead(1) + "\x00abcdwxyz\x00\x01a\x00\x01\x00abcd", wire.ErrReference},
		"life beyond bounds":       {dnsHead(1) + "\x00abcdwxyz\x00\x01a\x00\x01\x81\x80\x80\x80\x10abcd", wire.ErrValue},
		"addresses without octets": {dnsHead(1) + "\x00abcdwxyz\x00\x01a\x00\x10", wire.ErrTruncated},
	} {
		b := flow.Batch{Answers: make([]flow.DNSAnswer, 3)}
		err := wire.ParseDNS([]byte(c.body), &b)
		if !errors.Is(err, c.want) || len(b.Answers) != 0 || b.Seq|b.Floor|b.Boot != 0 || b.Base != 0 {
			t.Errorf("%s: %v, want %v; left %+v", name, err, c.want, b)
		}
	}
}

// checkDNS holds ParseDNS to its promises, whatever the body.
func checkDNS(t *testing.T, body []byte) {
	t.Helper()
	var b flow.Batch
	err := wire.ParseDNS(body, &b)
	if most := len(body) / 6; cap(b.Answers) > most+most/4+8 || len(b.Answers) > wire.MaxAnswers {
		t.Fatalf("%d octets take room for %d answers", len(body), cap(b.Answers))
	}
	if err != nil {
		if len(b.Answers) != 0 || b.Boot|b.Seq|b.Floor != 0 || b.Base != 0 {
			t.Fatalf("not nothing in spite of an error: %+v", b)
		}
		return
	}
	for i := range b.Answers {
		if b.Answers[i].Validate() != nil {
			return // the encoder is not for those
		}
	}
	again := encodeDNS(t, b.Answers)
	second := parsedDNS(t, again)
	if !reflect.DeepEqual(b.Answers, second.Answers) {
		t.Fatalf("encoded again it is another batch:\n%+v\n%+v", b.Answers, second.Answers)
	}
	if !bytes.Equal(again, encodeDNS(t, second.Answers)) {
		t.Fatal("the encoder is not canonical")
	}
}

func FuzzParseDNS(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(encodeDNS(f, newTraffic(seed).dnsAnswers(1+int(seed)*3)))
	}
	f.Fuzz(checkDNS)
}

func BenchmarkDNSEncode(b *testing.B) {
	answers := newTraffic(9).dnsAnswers(1000)
	e := wire.NewDNSEncoder(985)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !e.Add(&answers[i%len(answers)]) {
			e.Reset()
		}
	}
}

func BenchmarkDNSParse(b *testing.B) {
	answers := newTraffic(9).dnsAnswers(20)
	body := encodeDNS(b, answers)
	var batch flow.Batch
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.ParseDNS(body, &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(answers)), "ns/answer")
}
