package legacy_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/legacy"
	"flowsensor/internal/seal"
)

var (
	home = netip.MustParseAddr("192.0.2.9")
	at   = time.Unix(1_700_000_010, 500_000_000)
)

// tcp is a flow as an agent writes it.
const tcp = `{"eth0,192.0.2.1,198.51.100.7,6,40000,443,16,2048": {"bytes": 1500, "packets": 3, "start_time": 1700000000.25, "end_time": 1700000009.123456, "flags": "FPA"}}`

func newKey(tb testing.TB) seal.Key {
	tb.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newAgents(tb testing.TB, key seal.Key) *legacy.Agents {
	tb.Helper()
	agents, err := legacy.New([]legacy.Agent{{ID: "old-1", Address: home, Keys: []seal.Key{key}}}, seal.Limits{}, at, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return agents
}

// sealed gives a token with that plaintext.
func sealed(tb testing.TB, key seal.Key, plaintext string, stamp time.Time) []byte {
	tb.Helper()
	sealer, err := seal.NewSealer("x", key)
	if err != nil {
		tb.Fatal(err)
	}
	datagram, err := sealer.Seal(nil, []byte(plaintext), stamp)
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.TrimPrefix(datagram, []byte("x "))
}

// datagram gives the token of an object of flows.
func datagram(tb testing.TB, key seal.Key, flows string) []byte {
	tb.Helper()
	return sealed(tb, key, base64.StdEncoding.EncodeToString([]byte(flows)), at)
}

func addr(text string) flow.Addr {
	a, _ := flow.AddrFrom(netip.MustParseAddr(text))
	return a
}

// What a flow becomes, with the agent's faults mended.
func TestRecords(t *testing.T) {
	const s = int64(time.Second)
	for name, c := range map[string]struct {
		flows string
		iface string
		want  flow.Record
	}{
		"tcp": {tcp, "eth0", flow.Record{
			Key: flow.Key{
				Src: addr("192.0.2.1"), Dst: addr("198.51.100.7"), SrcPort: 40000, DstPort: 443, Proto: flow.ProtoTCP, ToS: 16, Version: 4,
			},
			Bytes: 1500, Packets: 3, First: 1_700_000_000*s + 250_000_000, Last: 1_700_000_009*s + 123_456_000,
			TCPFlags: flow.FIN | flow.PSH | flow.ACK, EndReason: flow.EndFIN,
		}},
		"comma in the name, last flag SYN": {
			`{"Ethernet (USB, 2),192.0.2.1,198.51.100.7,6,1,2,0,2048": {"bytes": 60, "packets": 1, "start_time": 5, "end_time": 5, "flags": "S"}}`,
			"Ethernet (USB, 2)",
			flow.Record{
				Key:   flow.Key{Src: addr("192.0.2.1"), Dst: addr("198.51.100.7"), SrcPort: 1, DstPort: 2, Proto: flow.ProtoTCP, Version: 4},
				Bytes: 60, Packets: 1, First: 5 * s, Last: 5 * s, TCPFlags: flow.SYN, Handshake: flow.SawSYN, EndReason: flow.EndIdle,
			},
		},
		"IPv6 counts its headers": {
			`{"eth0,2001:db8::1,2001:db8::2,17,53,4000,255,34525": {"bytes": 100, "packets": 2, "start_time": 5.5, "end_time": 6, "flags": "None"}}`,
			"eth0",
			flow.Record{
				Key:   flow.Key{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), SrcPort: 53, DstPort: 4000, Proto: flow.ProtoUDP, ToS: 255, Version: 6},
				Bytes: 180, Packets: 2, First: 5*s + s/2, Last: 6 * s, EndReason: flow.EndIdle,
			},
		},
		"IPv6 TCP behind an extension header": {
			`{"eth0,2001:db8::1,2001:db8::2,0,1,2,0,34525": {"bytes": 20, "packets": 1, "start_time": 5, "end_time": 6, "flags": "RA"}}`,
			"eth0",
			flow.Record{
				Key:   flow.Key{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), SrcPort: 1, DstPort: 2, Proto: flow.ProtoTCP, Version: 6},
				Bytes: 60, Packets: 1, First: 5 * s, Last: 6 * s, TCPFlags: flow.RST | flow.ACK, EndReason: flow.EndRST,
			},
		},
		"no ports": {
			`{"eth0,192.0.2.1,224.0.0.1,2,0,0,192,2048": {"bytes": 32, "packets": 1, "start_time": 5, "end_time": 5, "flags": "None"}}`,
			"eth0",
			flow.Record{
				Key:   flow.Key{Src: addr("192.0.2.1"), Dst: addr("224.0.0.1"), Proto: flow.ProtoIGMP, ToS: 192, Version: 4},
				Bytes: 32, Packets: 1, First: 5 * s, Last: 5 * s, EndReason: flow.EndIdle,
			},
		},
	} {
		key := newKey(t)
		var b flow.Batch
		if reason := newAgents(t, key).Open(&b, datagram(t, key, c.flows), home, at); reason != legacy.ReasonOK {
			t.Errorf("%s: %s", name, reason)
			continue
		}
		if len(b.Records) != 1 || b.InterfaceName(b.Records[0].IfIndex) != c.iface {
			t.Errorf("%s: got %+v", name, b)
			continue
		}
		got := b.Records[0]
		got.IfIndex = 0
		if got != c.want {
			t.Errorf("%s: got %+v\nwant %+v", name, got, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	key := newKey(t)
	encoded := func(flows string) string { return base64.StdEncoding.EncodeToString([]byte(flows)) }
	spoilt := func(old, with string) []byte {
		text := strings.Replace(tcp, old, with, 1)
		if text == tcp {
			t.Fatalf("%s is not there", old)
		}
		return datagram(t, key, text)
	}
	var many strings.Builder
	for i := range 257 {
		fmt.Fprintf(&many, `,"e,192.0.2.1,192.0.2.2,6,1,%d,0,2048":{"bytes":1,"packets":1,"start_time":1,"end_time":1,"flags":"S"}`, i)
	}
	for name, c := range map[string]struct {
		datagram []byte
		from     netip.Addr
		want     legacy.Reason
	}{
		"mapped address": {datagram(t, key, tcp), netip.MustParseAddr("::ffff:192.0.2.9"), legacy.ReasonOK},
		"other address":  {datagram(t, key, tcp), netip.MustParseAddr("192.0.2.8"), legacy.ReasonUnknownAgent},
		"greeting":       {[]byte("Test"), home, legacy.ReasonGreeting},
		"foreign":        {[]byte("Test"), netip.MustParseAddr("192.0.2.8"), legacy.ReasonUnknownAgent},
		"short":          {[]byte("gAAAAA"), home, legacy.ReasonSize},
		"junk":           {bytes.Repeat([]byte("gAAAAA!."), 20), home, legacy.ReasonShape},
		"other key":      {datagram(t, newKey(t), tcp), home, legacy.ReasonHMAC},
		"old":            {sealed(t, key, encoded(tcp), at.Add(-6*time.Second)), home, legacy.ReasonClockOld},
		"ahead":          {sealed(t, key, encoded(tcp), at.Add(6*time.Second)), home, legacy.ReasonClockAhead},
		"not base64":     {sealed(t, key, tcp, at), home, legacy.ReasonEncoding},
		"not JSON":       {datagram(t, key, tcp[1:]), home, legacy.ReasonParse},
		"a list":         {datagram(t, key, "["+tcp+"]"), home, legacy.ReasonParse},
		"nothing":        {datagram(t, key, "{}"), home, legacy.ReasonParse},
		"null":           {datagram(t, key, "null"), home, legacy.ReasonParse},
		"null flow":      {datagram(t, key, `{"eth0,192.0.2.1,198.51.100.7,6,40000,443,16,2048": null}`), home, legacy.ReasonParse},
		"too many":       {datagram(t, key, "{"+many.String()[1:]+"}"), home, legacy.ReasonParse},
		"no bytes":       {spoilt(`"bytes": 1500, `, ""), home, legacy.ReasonParse},
		"negative":       {spoilt("1500", "-1"), home, legacy.ReasonParse},
		"no flags":       {spoilt(`, "flags": "FPA"`, ""), home, legacy.ReasonParse},
		"flags":          {spoilt("FPA", "XYZ"), home, legacy.ReasonParse},
		"NaN":            {spoilt("1700000000.25", "NaN"), home, legacy.ReasonParse},
		"year 3000":      {spoilt("1700000009.123456", "32503680000"), home, legacy.ReasonParse},
		"before 1970":    {spoilt("1700000000.25", "-1.5"), home, legacy.ReasonParse},
		"port":           {spoilt("40000", "70000"), home, legacy.ReasonParse},
		"protocol":       {spoilt(",6,", ",256,"), home, legacy.ReasonParse},
		"address":        {spoilt("192.0.2.1", "example"), home, legacy.ReasonParse},
		"two families":   {spoilt("192.0.2.1", "2001:db8::1"), home, legacy.ReasonParse},
		"zone":           {spoilt("192.0.2.1,198.51.100.7", "fe80::1%eth0,fe80::2"), home, legacy.ReasonParse},
		"seven parts":    {spoilt(",2048", ""), home, legacy.ReasonParse},
		"no packets":     {spoilt(`"packets": 3`, `"packets": 0`), home, legacy.ReasonValidate},
		"backwards":      {spoilt("1700000000.25", "1700000010"), home, legacy.ReasonValidate},
		"more than all":  {spoilt("1500", "100000000000000000"), home, legacy.ReasonParse},
	} {
		var b flow.Batch
		if got := newAgents(t, key).Open(&b, c.datagram, c.from, at); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A copy of a token is taken once, as long as it could be taken at all, and the records of an agent have stamps and numbers
// that do not come again.
func TestReplayAndNumbers(t *testing.T) {
	key := newKey(t)
	agents := newAgents(t, key)
	first, second := datagram(t, key, tcp), datagram(t, key, tcp)
	var a, b flow.Batch
	open := func(b *flow.Batch, token []byte, after time.Duration) legacy.Reason {
		return agents.Open(b, token, home, at.Add(after))
	}
	if open(&a, first, 0) != legacy.ReasonOK || open(&b, second, 0) != legacy.ReasonOK {
		t.Fatal("two tokens of the same flow are not both taken")
	}
	if a.Sensor != "old-1" || a.Boot == 0 || b.Boot != a.Boot || b.Seq != a.Seq+1 || b.Floor != b.Seq {
		t.Errorf("numbers: %+v then %+v", a, b)
	}
	if a.Received != at.UnixNano() || a.Base != a.Received || b.Base != a.Base+1 {
		t.Errorf("stamps: received %d, base %d then %d", a.Received, a.Base, b.Base)
	}
	for _, after := range []time.Duration{0, time.Second, 5 * time.Second} {
		if got := open(new(flow.Batch), first, after); got != legacy.ReasonReplayed {
			t.Errorf("a copy after %s: %s", after, got)
		}
	}
	if got := open(new(flow.Batch), first, 6*time.Second); got != legacy.ReasonClockOld {
		t.Errorf("a copy that is too old: %s", got)
	}
	later := sealed(t, key, base64.StdEncoding.EncodeToString([]byte(tcp)), at.Add(time.Minute))
	if got := open(new(flow.Batch), later, time.Minute); got != legacy.ReasonOK {
		t.Errorf("a minute later: %s", got)
	}
	// A reload keeps what is remembered and goes on with the numbers, also under another address.
	next, err := legacy.New([]legacy.Agent{{ID: "old-1", Address: netip.MustParseAddr("192.0.2.10"), Keys: []seal.Key{key}}}, seal.Limits{},
		at.Add(time.Hour), agents)
	if err != nil {
		t.Fatal(err)
	}
	agents = next
	if got := agents.Open(new(flow.Batch), later, netip.MustParseAddr("192.0.2.10"), at.Add(time.Minute)); got != legacy.ReasonReplayed {
		t.Errorf("a copy after a reload: %s", got)
	}
	st := agents.Stats()
	if len(st) != 1 || st[0].ID != "old-1" || st[0].Batches != 3 || st[0].Records != 3 || !st[0].LastSeen.Equal(at.Add(time.Minute)) {
		t.Errorf("statistics: %+v", st)
	}
}

// Stamps go on from the latest one where the clock stands still or steps back.
func TestStampsDoNotComeAgain(t *testing.T) {
	key := newKey(t)
	agents := newAgents(t, key)
	last := int64(0)
	for i := range 50 {
		var b flow.Batch
		if got := agents.Open(&b, datagram(t, key, tcp), home, at.Add(-time.Duration(i%3)*time.Millisecond)); got != legacy.ReasonOK {
			t.Fatal(got)
		}
		if b.Base <= last {
			t.Fatalf("stamp %d after %d", b.Base, last)
		}
		last = b.Base
	}
}

func TestInterfacesKeepTheirIndex(t *testing.T) {
	key := newKey(t)
	agents := newAgents(t, key)
	var a, b flow.Batch
	two := strings.TrimSuffix(tcp, "}") + "," + strings.Replace(tcp, "eth0", "wlan0", 1)[1:]
	if agents.Open(&a, datagram(t, key, two), home, at) != legacy.ReasonOK || agents.Open(&b, datagram(t, key, tcp), home, at) != legacy.ReasonOK {
		t.Fatal("not taken")
	}
	if len(a.Records) != 2 || len(a.Interfaces) != 2 || a.Records[0].IfIndex == a.Records[1].IfIndex || a.Records[0].IfIndex != b.Records[0].IfIndex {
		t.Errorf("got %+v and %+v", a, b)
	}
}

func TestNewRefuses(t *testing.T) {
	key := newKey(t)
	one := legacy.Agent{ID: "old-1", Address: home, Keys: []seal.Key{key}}
	with := func(change func(*legacy.Agent)) legacy.Agent {
		other := one
		other.ID, other.Address = "old-2", netip.MustParseAddr("192.0.2.10")
		change(&other)
		return other
	}
	for want, other := range map[error]legacy.Agent{
		seal.ErrID:                 with(func(a *legacy.Agent) { a.ID = "-" }),
		seal.ErrNoKey:              with(func(a *legacy.Agent) { a.Keys = nil }),
		legacy.ErrAddress:          with(func(a *legacy.Agent) { a.Address = netip.Addr{} }),
		legacy.ErrDuplicateAddress: with(func(a *legacy.Agent) { a.Address = netip.MustParseAddr("::ffff:192.0.2.9") }),
		legacy.ErrDuplicateID:      with(func(a *legacy.Agent) { a.ID = "old-1" }),
	} {
		if _, err := legacy.New([]legacy.Agent{one, other}, seal.Limits{}, at, nil); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	// As published, all agents have the same key.
	if _, err := legacy.New([]legacy.Agent{one, with(func(*legacy.Agent) {})}, seal.Limits{}, at, nil); err != nil {
		t.Errorf("two agents with one key: %v", err)
	}
}

func TestLooks(t *testing.T) {
	key := newKey(t)
	token := datagram(t, key, tcp)
	for text, want := range map[string]bool{
		string(token): true, "Test": true, "gAAAAA": true, "edge-1 " + string(token): false, "gAAAAA " + string(token): false, "": false, "Testing": false,
	} {
		if got := legacy.Looks([]byte(text)); got != want {
			t.Errorf("%.20q looks %t", text, got)
		}
	}
}

// A batch that is used again keeps nothing of what it was.
func TestBatchUsedAgain(t *testing.T) {
	key := newKey(t)
	b := flow.Batch{
		Content: flow.DNSAnswers, Records: make([]flow.Record, 3), Readings: make([]flow.Reading, 3), Answers: make([]flow.DNSAnswer, 3),
		Interfaces: []flow.Interface{{Index: 1, Name: "eth9"}}, Body: []byte("body"),
	}
	if reason := newAgents(t, key).Open(&b, datagram(t, key, tcp), home, at); reason != legacy.ReasonOK {
		t.Fatal(reason)
	}
	if b.Content != flow.Flows || len(b.Records) != 1 || len(b.Interfaces) != 1 || len(b.Readings)+len(b.Answers)+len(b.Body) != 0 {
		t.Errorf("the batch is %+v", b)
	}
}
