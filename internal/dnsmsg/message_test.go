package dnsmsg_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
)

const (
	typeA     = uint16(dnsmessage.TypeA)
	typeAAAA  = uint16(dnsmessage.TypeAAAA)
	www, edge = "www.example.org.", "edge.example.net."
)

// TestAnswers has every kind of message that gives one.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		message *response
		want    flow.DNSAnswer
	}{
		"one address": {
			answering(www, dnsmessage.TypeA).answer(address(www, "192.0.2.1", 60)),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA, Addresses: []flow.DNSAddress{at("192.0.2.1", 60)}},
		},
		"both families, as for ANY": {
			answering(www, dnsmessage.TypeALL).answer(address(www, "192.0.2.1", 60), address(www, "2001:db8::1", 7)),
			flow.DNSAnswer{Question: "www.example.org", QType: 255, Addresses: []flow.DNSAddress{at("192.0.2.1", 60), at("2001:db8::1", 7)}},
		},
		"capitals": {
			answering("WwW.Example.ORG.", dnsmessage.TypeA).answer(alias("www.eXample.org.", "EDGE.example.net.", 5), address("edge.Example.net.", "192.0.2.1", 60)),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA, Chain: []string{"edge.example.net"}, Addresses: []flow.DNSAddress{at("192.0.2.1", 5)}},
		},
		"a chain, the least time to live of the way": {
			answering(www, dnsmessage.TypeAAAA).answer(alias(www, "a.example.", 300), alias("a.example.", "b.example.", 20), address("b.example.", "2001:db8::1", 600)),
			flow.DNSAnswer{Question: "www.example.org", QType: typeAAAA, Chain: []string{"a.example", "b.example"}, Addresses: []flow.DNSAddress{at("2001:db8::1", 20)}},
		},
		"a chain out of order": {
			answering(www, dnsmessage.TypeA).answer(address("b.example.", "192.0.2.1", 600), alias("a.example.", "b.example.", 20), alias(www, "a.example.", 300)),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA, Chain: []string{"a.example", "b.example"}, Addresses: []flow.DNSAddress{at("192.0.2.1", 20)}},
		},
		"records of other names do not count": {
			answering(www, dnsmessage.TypeA).answer(address("bank.example.", "192.0.2.66", 600), address(www, "192.0.2.1", 60), alias("bank.example.", www, 60)),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA, Addresses: []flow.DNSAddress{at("192.0.2.1", 60)}},
		},
		"nor do additional ones": {
			answering(www, dnsmessage.TypeA).answer(address(www, "192.0.2.1", 60)).with(func(m *dnsmessage.Message) {
				m.Additionals = append(m.Additionals, address(www, "192.0.2.66", 600))
			}),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA, Addresses: []flow.DNSAddress{at("192.0.2.1", 60)}},
		},
		"a time to live beyond its bound is none": {
			answering(www, dnsmessage.TypeA).answer(address(www, "192.0.2.1", 1<<31)),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA, Addresses: []flow.DNSAddress{at("192.0.2.1", 0)}},
		},
		"no such name": {
			answering(www, dnsmessage.TypeMX).authority(soa("example.org.")).with(func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError }),
			flow.DNSAnswer{Question: "www.example.org", QType: 15, RCode: 3},
		},
		"no such name at the end of a chain": {
			answering(www, dnsmessage.TypeA).answer(alias(www, edge, 60)).with(func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError }),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA, RCode: 3, Chain: []string{"edge.example.net"}},
		},
		"no data": {
			answering(www, dnsmessage.TypeAAAA).authority(soa("example.org.")),
			flow.DNSAnswer{Question: "www.example.org", QType: typeAAAA},
		},
		"no data, and nothing said about it": {
			answering(www, dnsmessage.TypeA),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA},
		},
		"a code that needs EDNS": {
			answering(www, dnsmessage.TypeA).with(func(m *dnsmessage.Message) { m.Additionals = append(m.Additionals, edns(1)) }),
			flow.DNSAnswer{Question: "www.example.org", QType: typeA, RCode: 16},
		},
		"the root": {
			answering(".", dnsmessage.TypeTXT).with(func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeRefused }),
			flow.DNSAnswer{Question: ".", QType: 16, RCode: 5},
		},
		"what would break a line": {
			answering("a\nb\" ,c\\\xff.example.", dnsmessage.TypeA).answer(address("a\nb\" ,c\\\xff.example.", "192.0.2.1", 60)),
			flow.DNSAnswer{Question: `a\010b\034\032\044c\092\255.example`, QType: typeA, Addresses: []flow.DNSAddress{at("192.0.2.1", 60)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := dnsmsg.NewDecoder()
			var got flow.DNSAnswer
			if r := d.Message(c.message.pack(t), &got); r != dnsmsg.OK || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v\ngot  %+v\nwant %+v", r, got, c.want)
			}
			got.Version = 4
			if err := got.Validate(); err != nil || d.Stats().Messages[dnsmsg.OK] != 1 {
				t.Errorf("%v, counted %+v", err, d.Stats())
			}
		})
	}
}

// raw is a response to a question whose name is given as octets of the message; what follows the question comes behind.
func raw(counts [4]byte, name string, rest string) string {
	return "\x00\x07\x81\x80\x00" + string(counts[:1]) + "\x00" + string(counts[1:2]) + "\x00" + string(counts[2:3]) + "\x00" + string(counts[3:]) + name + "\x00\x01\x00\x01" + rest
}

func TestRefused(t *testing.T) {
	plain := answering(www, dnsmessage.TypeA).answer(address(www, "192.0.2.1", 60))
	changed := func(change func(*dnsmessage.Message)) string {
		return string(answering(www, dnsmessage.TypeA).with(change).pack(t))
	}
	aliases := answering(www, dnsmessage.TypeA).answer(alias(www, "0.example.", 1))
	for i := range 20 {
		aliases.answer(alias(fmt.Sprintf("%d.example.", i), fmt.Sprintf("%d.example.", i+1), 1))
	}
	many := answering(www, dnsmessage.TypeA)
	for range 257 {
		many.answer(resource(www, 1, &dnsmessage.TXTResource{TXT: []string{"x"}}))
	}
	binary := strings.Repeat("\x3f"+strings.Repeat("\xff", 63), 3) + "\x00"
	for name, c := range map[string]struct {
		message string
		want    dnsmsg.Reason
	}{
		"empty":            {"", dnsmsg.Malformed},
		"header cut":       {string(plain.pack(t)[:11]), dnsmsg.Malformed},
		"cut in a record":  {string(plain.pack(t)[:len(plain.pack(t))-1]), dnsmsg.Malformed},
		"a query":          {changed(func(m *dnsmessage.Message) { m.Response = false }), dnsmsg.Query},
		"an update":        {changed(func(m *dnsmessage.Message) { m.OpCode = 5 }), dnsmsg.OtherOp},
		"truncated":        {changed(func(m *dnsmessage.Message) { m.Truncated = true }), dnsmsg.Truncated},
		"no question":      {changed(func(m *dnsmessage.Message) { m.Questions = nil }), dnsmsg.Question},
		"two questions":    {changed(func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }), dnsmsg.Question},
		"chaos":            {changed(func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }), dnsmsg.Class},
		"mail servers":     {string(answering(www, dnsmessage.TypeMX).answer(resource(www, 9, &dnsmessage.MXResource{MX: dnsmessage.MustNewName(edge)})).pack(t)), dnsmsg.OtherType},
		"a referral":       {string(answering(www, dnsmessage.TypeA).authority(ns("example.org.")).pack(t)), dnsmsg.Referral},
		"an alias to self": {string(answering(www, dnsmessage.TypeA).answer(alias(www, www, 1)).pack(t)), dnsmsg.Aliases},
		"aliases that go round": {
			string(answering(www, dnsmessage.TypeA).answer(alias(edge, www, 1), alias(www, edge, 1)).pack(t)), dnsmsg.Aliases,
		},
		"aliases without end":         {string(aliases.pack(t)), dnsmsg.Aliases},
		"records without end":         {string(many.pack(t)), dnsmsg.Records},
		"a pointer to itself":         {raw([4]byte{1}, "\xc0\x0c", ""), dnsmsg.Malformed},
		"pointers in a ring":          {raw([4]byte{1}, "\xc0\x0e\xc0\x0c", ""), dnsmsg.Malformed},
		"a pointer beyond":            {raw([4]byte{1}, "\xc3\xff", ""), dnsmsg.Malformed},
		"a label that runs on":        {raw([4]byte{1}, "\x3fabc", ""), dnsmsg.Malformed},
		"a reserved kind of label":    {raw([4]byte{1}, "\x40abc\x00", ""), dnsmsg.Malformed},
		"a name that is too long":     {raw([4]byte{1}, strings.Repeat("\x3f"+strings.Repeat("a", 63), 5)+"\x00", ""), dnsmsg.Malformed},
		"a dot in a label":            {raw([4]byte{1}, "\x03a.b\x00", ""), dnsmsg.Malformed},
		"counts without records":      {raw([4]byte{1, 255, 255, 255}, "\x01a\x00", ""), dnsmsg.Malformed},
		"an address of five octets":   {raw([4]byte{1, 1}, "\x01a\x00", "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x05\x01\x02\x03\x04\x05"), dnsmsg.Malformed},
		"an address of three octets":  {raw([4]byte{1, 1}, "\x01a\x00", "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x03\x01\x02\x03"), dnsmsg.Malformed},
		"a record longer than it all": {raw([4]byte{1, 1}, "\x01a\x00", "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x01\xff\xff\x01"), dnsmsg.Malformed},
		"too long once it is written": {raw([4]byte{1}, binary, ""), dnsmsg.Name},
	} {
		d := dnsmsg.NewDecoder()
		var a flow.DNSAnswer
		if r := d.Message([]byte(c.message), &a); r != c.want || d.Stats().Messages[c.want] != 1 {
			t.Errorf("%s: %v, want %v", name, r, c.want)
		}
	}
}

// What is beyond an answer's bounds is left out and noted, the rest is kept.
func TestBounds(t *testing.T) {
	d := dnsmsg.NewDecoder()
	m := answering(www, dnsmessage.TypeA).answer(alias(www, "0.example.", 1))
	for i := range 12 {
		m.answer(alias(fmt.Sprintf("%d.example.", i), fmt.Sprintf("%d.example.", i+1), 1))
	}
	for i := range 40 {
		m.answer(address("12.example.", fmt.Sprintf("192.0.2.%d", i), 1))
	}
	var a flow.DNSAnswer
	if r := d.Message(m.pack(t), &a); r != dnsmsg.OK {
		t.Fatal(r)
	}
	a.Version = 4
	if err := a.Validate(); err != nil || len(a.Chain) != flow.MaxDNSChain || len(a.Addresses) != flow.MaxDNSAddresses {
		t.Errorf("%v, %d aliases and %d addresses", err, len(a.Chain), len(a.Addresses))
	}
	long := strings.Repeat(strings.Repeat("x", 62)+".", 2)
	m = answering(www, dnsmessage.TypeA).answer(alias(www, "a."+long, 1), alias("a."+long, "b."+long, 1), alias("b."+long, "c."+long, 1), alias("c."+long, "short.", 1))
	if r := d.Message(m.pack(t), &a); r != dnsmsg.OK || a.Validate() != nil || len(a.Chain) != 2 {
		t.Errorf("%v: %+v", r, a)
	}
	notes := d.Stats().Notes
	if want := []uint64{2, 1, 0}; !slices.Equal(notes[:], want) {
		t.Errorf("notes %v, want %v", notes, want)
	}
}

func TestNamesOfReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := range len(dnsmsg.Stats{}.Messages) {
		seen[dnsmsg.Reason(r).String()] = true
	}
	for n := range len(dnsmsg.Stats{}.Notes) {
		seen[dnsmsg.Note(n).String()] = true
	}
	if want := len(dnsmsg.Stats{}.Messages) + len(dnsmsg.Stats{}.Notes); len(seen) != want || seen[""] || dnsmsg.Reason(99).String() != "Reason(99)" {
		t.Errorf("%d names for %d", len(seen), want)
	}
}
