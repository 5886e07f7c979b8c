package dnsmsg_test

import (
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/flow"
)

// response is a message under construction: the question, and the records of the answer section.
type response struct {
	dnsmessage.Message
}

func answering(name string, t dnsmessage.Type) *response {
	r := &response{}
	r.Response, r.RecursionAvailable, r.ID = true, true, 7
	r.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: t, Class: dnsmessage.ClassINET}}
	return r
}

func resource(owner string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
}

func alias(owner, target string, ttl uint32) dnsmessage.Resource {
	return resource(owner, ttl, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target)})
}

func address(owner, ip string, ttl uint32) dnsmessage.Resource {
	a := netip.MustParseAddr(ip)
	if a.Is4() {
		return resource(owner, ttl, &dnsmessage.AResource{A: a.As4()})
	}
	return resource(owner, ttl, &dnsmessage.AAAAResource{AAAA: a.As16()})
}

func soa(owner string) dnsmessage.Resource {
	root := dnsmessage.MustNewName(".")
	return resource(owner, 60, &dnsmessage.SOAResource{NS: root, MBox: root})
}

func ns(owner string) dnsmessage.Resource {
	return resource(owner, 60, &dnsmessage.NSResource{NS: dnsmessage.MustNewName("ns." + owner)})
}

// edns carries the upper bits of the response code.
func edns(upper uint32) dnsmessage.Resource {
	return resource(".", upper<<24, &dnsmessage.OPTResource{})
}

func (r *response) answer(records ...dnsmessage.Resource) *response {
	r.Answers = append(r.Answers, records...)
	return r
}

func (r *response) authority(records ...dnsmessage.Resource) *response {
	r.Authorities = append(r.Authorities, records...)
	return r
}

func (r *response) with(change func(*dnsmessage.Message)) *response {
	change(&r.Message)
	return r
}

func (r *response) pack(tb testing.TB) []byte {
	tb.Helper()
	b, err := r.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func at(ip string, ttl uint32) flow.DNSAddress {
	a, version := flow.AddrFrom(netip.MustParseAddr(ip))
	return flow.DNSAddress{Addr: a, Version: version, TTL: ttl}
}
