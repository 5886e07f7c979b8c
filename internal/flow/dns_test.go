package flow_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/flow"
)

func TestValidDNSName(t *testing.T) {
	for _, name := range []string{
		".", "com", "www.example.org", "_dns.resolver.arpa", "xn--bcher-kva.example", `a\046b.example`, `\000`, `caf\195\169`,
		strings.Repeat("a", flow.MaxDNSName), "*.example", `\034`, `\092\092`,
	} {
		if !flow.ValidDNSName(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{
		"", "..", ".com", "com.", "a..b", "Example.org", "a b", "a\nb", "a\x00b", "caf\u00e9", "a\"b", "a,b", `a\`, `a\1`, `a\12`, `a\1x2`, `\256`, `\999`,
		`\097`, `\\`, `a\.b`, "a\x7f", strings.Repeat("a", flow.MaxDNSName+1),
	} {
		if flow.ValidDNSName(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

func validAnswer(t *testing.T) flow.DNSAnswer {
	t.Helper()
	return flow.DNSAnswer{
		Client: addr(t, "192.0.2.1"), Server: addr(t, "192.0.2.53"), Version: 4, Time: 1_700_000_000_000_000_000, QType: 28,
		Question: "www.example.org", Chain: []string{"cdn.example.net"},
		Addresses: []flow.DNSAddress{{Addr: addr(t, "2001:db8::1"), Version: 6, TTL: 60}, {Addr: addr(t, "198.51.100.1"), Version: 4}},
	}
}

func TestDNSAnswerValidate(t *testing.T) {
	good := validAnswer(t)
	if err := good.Validate(); err != nil || good.Failed() {
		t.Fatalf("a good answer is refused: %v, failed %v", err, good.Failed())
	}
	for name, c := range map[string]struct {
		spoil func(*flow.DNSAnswer)
		want  error
	}{
		"version":          {func(a *flow.DNSAnswer) { a.Version = 0 }, flow.ErrVersion},
		"wide client":      {func(a *flow.DNSAnswer) { a.Client.Hi = 1 }, flow.ErrAddress},
		"wide server":      {func(a *flow.DNSAnswer) { a.Server.Lo = 1 << 32 }, flow.ErrAddress},
		"before 1970":      {func(a *flow.DNSAnswer) { a.Time = -1 }, flow.ErrTimes},
		"far future":       {func(a *flow.DNSAnswer) { a.Time = flow.MaxTime + 1 }, flow.ErrTimes},
		"rcode":            {func(a *flow.DNSAnswer) { a.RCode = 1 << 12 }, flow.ErrDNSBounds},
		"no question":      {func(a *flow.DNSAnswer) { a.Question = "" }, flow.ErrDNSName},
		"injection":        {func(a *flow.DNSAnswer) { a.Question = "a\nflow bytes=1i" }, flow.ErrDNSName},
		"chained":          {func(a *flow.DNSAnswer) { a.Chain = []string{"b", "c\x00"} }, flow.ErrDNSName},
		"long chain":       {func(a *flow.DNSAnswer) { a.Chain = slices.Repeat([]string{"b"}, flow.MaxDNSChain+1) }, flow.ErrDNSBounds},
		"wide chain":       {func(a *flow.DNSAnswer) { a.Chain = slices.Repeat([]string{strings.Repeat("b", 200)}, 2) }, flow.ErrDNSBounds},
		"many":             {func(a *flow.DNSAnswer) { a.Addresses = make([]flow.DNSAddress, flow.MaxDNSAddresses+1) }, flow.ErrDNSBounds},
		"address":          {func(a *flow.DNSAnswer) { a.Addresses[1].Addr.Hi = 1 }, flow.ErrAddress},
		"address version":  {func(a *flow.DNSAnswer) { a.Addresses[1].Version = 5 }, flow.ErrVersion},
		"the time to live": {func(a *flow.DNSAnswer) { a.Addresses[0].TTL = 1 << 31 }, flow.ErrDNSBounds},
	} {
		a := validAnswer(t)
		c.spoil(&a)
		if err := a.Validate(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}
