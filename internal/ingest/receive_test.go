package ingest_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// Both families share a port, and what arrives is what was sent.
func TestDelivers(t *testing.T) {
	needIPv6(t)
	probe := listen(t, ingest.Config{})
	port := probe.Addrs()[0].Port()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{Processors: 2, Listen: []netip.AddrPort{
		netip.AddrPortFrom(netip.IPv4Unspecified(), port), netip.AddrPortFrom(netip.IPv6Unspecified(), port),
	}}, edge.sensor("127.0.0.1/32", "::1/128"))

	before := time.Now()
	sent4, sent6 := records(3), records(5)[3:]
	send(t, dial(t, netip.AddrPortFrom(loopback4, port)), edge.flows(sent4...))
	send(t, dial(t, netip.AddrPortFrom(loopback6, port)), edge.flows(sent6...))
	st := c.settle(2)

	want := func(seq uint64, records []flow.Record) flow.Batch {
		return flow.Batch{
			Sensor: "edge-1", Boot: edge.boot, Seq: seq, Floor: 1, Base: 1_700_000_000_000_000_000 + int64(seq)*1000,
			Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}, Records: records,
		}
	}
	got := c.batches()
	if len(got) == 2 && got[0].Seq > got[1].Seq { // two sockets, two goroutines
		got[0], got[1] = got[1], got[0]
	}
	for i := range got {
		var again flow.Batch // the body goes along, and is what the records were parsed from
		if err := wire.ParseFlows(got[i].Body, &again); err != nil || !cmp.Equal(again.Records, got[i].Records) {
			t.Errorf("the body that batch %d came with is another: %v", got[i].Seq, err)
		}
		if at := time.Unix(0, got[i].Received); at.Before(before.Add(-time.Second)) || at.After(time.Now()) {
			t.Errorf("batch %d was received at %v", got[i].Seq, at)
		}
		got[i].Body, got[i].Received = nil, 0
	}
	if diff := cmp.Diff([]flow.Batch{want(1, sent4), want(2, sent6)}, got); diff != "" {
		t.Errorf("batches differ (-sent +got):\n%s", diff)
	}

	volume := ingest.Volume{Batches: 2, Records: 5, Packets: 15, Bytes: 15 * 1500}
	if st.Outcomes[ingest.ReasonAccepted] != 2 || st.Accepted != volume || st.QueueFull != (ingest.Volume{}) {
		t.Errorf("counted %+v", st)
	}
	s := c.sensor("edge-1")
	if s.Datagrams != 2 || s.Outcomes[ingest.ReasonAccepted] != 2 || s.Accepted != volume || s.Missing != 0 ||
		s.Boot != edge.boot || s.Octets == 0 {
		t.Errorf("sensor counted %+v", s)
	}
	if s.LastSeen.Before(before) || s.LastSeen.After(time.Now()) || s.Offset.Abs() > 2*time.Second {
		t.Errorf("last seen %v with offset %v", s.LastSeen, s.Offset)
	}
	for _, sock := range st.Sockets {
		if sock.Unstamped != 0 {
			t.Errorf("%v got datagrams without the kernel's time", sock.Local)
		}
	}
}

// TestRefusals provokes each reason, by one datagram sent over the network.
func TestRefusals(t *testing.T) {
	edge, other, stray := newAgent(t, "edge-1"), newAgent(t, "core-1"), newAgent(t, "stray")
	stranger := newAgent(t, "edge-1") // with a key that nobody knows
	at := func(offset time.Duration) *agent {
		skewed := *edge
		skewed.now = func() time.Time { return time.Now().Add(offset) }
		skewed.tx += 1000
		return &skewed
	}
	invalid := record(1)
	invalid.Packets = 0

	for _, tc := range []struct {
		name     string
		reason   ingest.Reason
		datagram []byte
		of       string // sensor it is counted for
	}{
		{"empty", ingest.ReasonSize, nil, ""},
		{"short", ingest.ReasonSize, []byte("edge-1 gAAAAA"), ""},
		{"longer than the limit", ingest.ReasonTruncated, make([]byte, 1473), ""},
		{"junk", ingest.ReasonShape, bytes.Repeat([]byte("x"), 400), ""},
		{"no id", ingest.ReasonShape, edge.flows(record(1))[len("edge-1"):], ""},
		{"trailing junk", ingest.ReasonShape, append(edge.flows(record(1)), 'A'), ""},
		{"four octets of trailing junk", ingest.ReasonShape, append(edge.flows(record(1)), "AAAA"...), ""},
		{"line end within", ingest.ReasonShape, withLineEnd(edge.flows(record(1))), ""},
		{"authentic token that panics the library", ingest.ReasonSize, shortToken(edge, 9), ""},
		{"authentic token that panics the library, longest", ingest.ReasonSize, shortToken(edge, 25), ""},
		{"unknown id", ingest.ReasonUnknownID, newAgent(t, "nobody").flows(record(1)), ""},
		{"spoofed prefix", ingest.ReasonAddress, stray.flows(record(1)), ""},
		{"wrong key", ingest.ReasonHMAC, stranger.flows(record(1)), ""},
		{"another sensor's key", ingest.ReasonHMAC, append([]byte("core-1 "), edge.flows(record(1))[len("edge-1 "):]...), ""},
		{"flipped bit", ingest.ReasonHMAC, flipped(edge.flows(record(1))), ""},
		{"old", ingest.ReasonClockOld, at(-7 * time.Second).flows(record(1)), "edge-1"},
		{"ahead", ingest.ReasonClockAhead, at(8 * time.Second).flows(record(1)), "edge-1"},
		{"empty plaintext", ingest.ReasonHeader, edge.sealPlain(nil), "edge-1"},
		{"other plaintext", ingest.ReasonHeader, edge.sealPlain([]byte(strings.Repeat("{}", 40))), "edge-1"},
		{"id of another inside", ingest.ReasonIDMismatch, edge.seal(other.header(wire.Flows), nil), "edge-1"},
		{"unknown kind", ingest.ReasonKind, edge.seal(edge.header(77), nil), "edge-1"},
		{"wrong direction", ingest.ReasonKind, edge.seal(edge.header(wire.Ack), nil), "edge-1"},
		{"other version", ingest.ReasonVersion, edge.sealPlain(otherVersion(edge)), "edge-1"},
		{"report", ingest.ReasonParse, edge.seal(edge.header(wire.Report), nil), "edge-1"},
		{"dns", ingest.ReasonParse, edge.seal(edge.header(wire.DNS), nil), "edge-1"},
		{"invalid name", ingest.ReasonValidate, edge.seal(edge.header(wire.DNS), dnsBody(edge.boot, "a\nflow bytes=1i")), "edge-1"},
		{"empty probe", ingest.ReasonParse, edge.seal(wire.Header{Kind: wire.Probe, ID: "edge-1"}, nil), "edge-1"},
		{"batch of a later boot", ingest.ReasonValidate, edge.seal(edge.header(wire.Flows), edge.laterBoot().body(1, record(1))), "edge-1"},
		{"empty body", ingest.ReasonParse, edge.seal(edge.header(wire.Flows), nil), "edge-1"},
		{"body with trailing junk", ingest.ReasonParse, edge.seal(edge.header(wire.Flows), append(edge.body(90, record(1)), 0)), "edge-1"},
		{"cut body", ingest.ReasonParse, edge.seal(edge.header(wire.Flows), cut(edge.body(91, record(1)))), "edge-1"},
		{"invalid record", ingest.ReasonValidate, edge.flows(record(1), invalid), "edge-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := start(t, ingest.Config{MaxDatagram: 1472}, edge.sensor("127.0.0.0/8"), other.sensor(), stray.sensor("192.0.2.0/24"))
			send(t, c.dial(), tc.datagram)
			checkCounts(t, c, tc.reason, tc.of)
			checkLog(t, c, tc.reason, edge, other, stray)
		})
	}
}

// checkCounts wants one datagram to have ended so and nothing else to be counted, for the sensor with that id at most.
func checkCounts(t *testing.T, c *collector, reason ingest.Reason, id string) {
	t.Helper()
	st := c.settle(1)
	var none, one [ingest.Reasons]uint64
	one[reason] = 1
	if st.Outcomes != one {
		t.Errorf("counted %v, want one %v", named(st.Outcomes), reason)
	}
	if len(c.batches()) != 0 || st.Accepted != (ingest.Volume{}) {
		t.Error("something was handed over")
	}
	for _, s := range st.Sensors {
		want := none
		if s.ID == id {
			want = one
		}
		seen := s.ID == id && reason != ingest.ReasonClockOld && reason != ingest.ReasonClockAhead
		if s.Outcomes != want || s.LastSeen.IsZero() == seen {
			t.Errorf("sensor %s counted %v, seen %v", s.ID, named(s.Outcomes), s.LastSeen)
		}
	}
}

// checkLog wants one line on the refusal that names its reason and gives away nothing.
func checkLog(t *testing.T, c *collector, reason ingest.Reason, agents ...*agent) {
	t.Helper()
	if n := len(c.logs.lines("refused", "reason="+reason.String())); n != 1 {
		t.Errorf("%d log lines name %v:\n%s", n, reason, c.logs)
	}
	text := c.logs.String()
	for _, a := range agents {
		if strings.Contains(text, a.keys[0].Encode()) || strings.Contains(text, "gAAAAA") {
			t.Errorf("log holds a secret or payload:\n%s", text)
		}
	}
	if strings.Contains(text, "sensor=") != reason.Authentic() {
		t.Errorf("log names a sensor when it must not, or does not when it should:\n%s", text)
	}
}

func named(outcomes [ingest.Reasons]uint64) string {
	var out []string
	for i, n := range outcomes {
		if n != 0 {
			out = append(out, fmt.Sprintf("%v=%d", ingest.Reason(i), n))
		}
	}
	return strings.Join(out, " ")
}

func withLineEnd(d []byte) []byte {
	at := len(d) - 8
	return append(d[:at:at], append([]byte("\r\n\r\n"), d[at:]...)...)
}

func flipped(d []byte) []byte {
	at := len(d) - 20
	if d[at] == 'A' {
		d[at] = 'B'
	} else {
		d[at] = 'A'
	}
	return d
}

func cut(b []byte) []byte { return b[:len(b)-1] }

func (a *agent) laterBoot() *agent {
	later := *a
	later.boot++
	return &later
}

func otherVersion(a *agent) []byte {
	plain := wire.AppendHeader(nil, a.header(wire.Flows))
	plain[2] = wire.Version + 1
	return plain
}

// shortToken is a token of n octets before the HMAC, which is right. It has no room for an initialisation vector or for
// a block, which the library does not check.
func shortToken(a *agent, n int) []byte {
	key, err := base64.URLEncoding.DecodeString(a.keys[0].Encode())
	if err != nil {
		a.t.Fatal(err)
	}
	raw := make([]byte, n)
	raw[0] = 0x80
	binary.BigEndian.PutUint64(raw[1:], uint64(time.Now().Unix()))
	mac := hmac.New(sha256.New, key[:16])
	mac.Write(raw)
	return []byte(a.id + " " + base64.URLEncoding.EncodeToString(mac.Sum(raw)))
}

// A refused clock names its offset, in the log and for the sensor; when mended, the sensor is heard again.
func TestClockOffsetIsNamed(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()

	edge.now = func() time.Time { return time.Now().Add(-30 * time.Second) }
	send(t, conn, edge.flows(record(1)))
	c.settle(1)
	if got := c.sensor("edge-1").Offset; got < -32*time.Second || got > -28*time.Second {
		t.Errorf("offset %v, want about -30 s", got)
	}
	if len(c.logs.lines("reason=clock_old", "sensor=edge-1", "clock_offset=-")) != 1 {
		t.Errorf("log does not name the offset:\n%s", c.logs)
	}

	edge.now = time.Now
	send(t, conn, edge.flows(record(1)))
	if st := c.settle(2); st.Outcomes[ingest.ReasonAccepted] != 1 {
		t.Errorf("not resumed: %s", named(st.Outcomes))
	}
	if got := c.sensor("edge-1").Offset; got.Abs() > 2*time.Second {
		t.Errorf("offset %v after the clock was mended", got)
	}
}

// Somebody plays what a sensor sent long ago, after it has fallen silent: it is not seen by that, nor has it another clock or key.
func TestRecordingShowsNoSensor(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	edge.now = func() time.Time { return time.Now().Add(-time.Hour) }
	recording := [][]byte{edge.flows(record(1)), edge.flows(record(2)), edge.seal(wire.Header{Kind: wire.Probe, ID: "edge-1", Boot: edge.boot, TX: 5}, wire.AppendProbe(nil))}
	edge.now = time.Now
	send(t, conn, edge.flows(record(3)))
	c.settle(1)
	before := c.sensor("edge-1")
	time.Sleep(10 * time.Millisecond)
	for _, datagram := range recording {
		send(t, conn, datagram)
	}
	c.settle(1 + uint64(len(recording)))
	s := c.sensor("edge-1")
	if s.Datagrams != 1+uint64(len(recording)) || s.LastSeen != before.LastSeen || s.Offset != before.Offset {
		t.Errorf("seen at %v with a clock that is off by %v, was %v and %v; %s", s.LastSeen, s.Offset, before.LastSeen, before.Offset, named(s.Outcomes))
	}
}

// The clock is held against the time the kernel received the datagram, not against the time we got round to it.
func TestClockIsJudgedAtReceiveTime(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := listen(t, ingest.Config{}, edge.sensor())
	strict, err := seal.NewOpener([]seal.Sensor{edge.sensor()}, seal.Limits{TTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c.SetOpener(strict)
	send(t, c.dial(), edge.flows(record(1)))
	time.Sleep(2500 * time.Millisecond) // longer than the TTL and the second that a stamp is cut to
	c.run()
	if st := c.settle(1); st.Outcomes[ingest.ReasonAccepted] != 1 {
		t.Errorf("a datagram that waited in the socket: %s", named(st.Outcomes))
	}
}

// Replays get nothing done, whether the tx was seen, is too old to know, or is of an older boot.
func TestReplays(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()

	first := edge.flows(record(1))
	send(t, conn, first, first, first)
	st := c.settle(3)
	if st.Outcomes[ingest.ReasonAccepted] != 1 || st.Outcomes[ingest.ReasonReplayed] != 2 {
		t.Fatalf("after a replay: %s", named(st.Outcomes))
	}

	edge.tx += seal.WindowBits
	send(t, conn, edge.flows(record(1)), edge.seal(wire.Header{Kind: wire.Flows, ID: edge.id, Boot: edge.boot, TX: 2}, edge.body(77, record(1))))
	st = c.settle(5)
	if st.Outcomes[ingest.ReasonAccepted] != 2 || st.Outcomes[ingest.ReasonTXOld] != 1 {
		t.Fatalf("below the window: %s", named(st.Outcomes))
	}
	if got := c.sensor("edge-1").Missing; got != seal.WindowBits {
		t.Errorf("%d missing, want %d", got, seal.WindowBits)
	}

	edge.boot++
	edge.tx, edge.seq = 0, 0
	send(t, conn, edge.flows(record(1)))
	edge.boot -= 2
	edge.tx, edge.seq = 50, 50
	send(t, conn, edge.flows(record(1)))
	st = c.settle(7)
	if st.Outcomes[ingest.ReasonAccepted] != 3 || st.Outcomes[ingest.ReasonBootOld] != 1 {
		t.Fatalf("older boot: %s", named(st.Outcomes))
	}
	if got := c.sensor("edge-1").Boot; got != 1001 {
		t.Errorf("newest boot %d", got)
	}
	if n := len(c.logs.lines("level=WARN", "replayed")); n != 0 {
		t.Error("a replay is worth no warning")
	}
}

// A version that is not spoken here is told once, not to each replay of it.
func TestVersionIsRefusedOnce(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	d := edge.sealPlain(otherVersion(edge))
	send(t, c.dial(), d, d)
	if st := c.settle(2); st.Outcomes[ingest.ReasonVersion] != 1 || st.Outcomes[ingest.ReasonReplayed] != 1 {
		t.Errorf("%s", named(st.Outcomes))
	}
}

// Reordered datagrams leave no gap, lost ones do.
func TestGaps(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	var ds [][]byte
	for range 10 {
		ds = append(ds, edge.flows(record(1)))
	}
	send(t, conn, ds[0], ds[5], ds[3], ds[9])
	c.settle(4)
	if got := c.sensor("edge-1").Missing; got != 6 {
		t.Errorf("%d missing, want 6", got)
	}
	send(t, conn, ds[1], ds[2], ds[8], ds[7], ds[4])
	c.settle(9)
	if got := c.sensor("edge-1").Missing; got != 1 {
		t.Errorf("%d missing, want 1", got)
	}
}

// A batch sent again under a new tx is not handed on twice, unless the sink refused it.
func TestDuplicates(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := listen(t, ingest.Config{}, edge.sensor())
	full := true
	c.verdict = func(*flow.Batch) ingest.Verdict {
		if full {
			return ingest.Full
		}
		return ingest.Accepted
	}
	c.run()
	conn := c.dial()

	send(t, conn, edge.flows(records(3)...))
	st := c.settle(1)
	lost := ingest.Volume{Batches: 1, Records: 3, Packets: 6, Bytes: 6 * 1500}
	if st.Outcomes[ingest.ReasonQueueFull] != 1 || st.QueueFull != lost || st.Accepted != (ingest.Volume{}) {
		t.Fatalf("refused by the sink: %+v", st)
	}
	if s := c.sensor("edge-1"); s.QueueFull != lost || s.Outcomes[ingest.ReasonQueueFull] != 1 {
		t.Errorf("sensor counted %+v", s)
	}

	c.mu.Lock()
	full = false
	c.mu.Unlock()
	send(t, conn, edge.resend(records(3)...), edge.resend(records(3)...))
	st = c.settle(3)
	if st.Outcomes[ingest.ReasonAccepted] != 1 || st.Outcomes[ingest.ReasonDuplicate] != 1 || len(c.batches()) != 1 {
		t.Errorf("sent again: %s", named(st.Outcomes))
	}
	if st.Accepted != lost {
		t.Errorf("accepted %+v", st.Accepted)
	}
}

// One line a reason and period, which tells how many it stands for.
func TestLogIsRateLimited(t *testing.T) {
	c := start(t, ingest.Config{LogPeriod: 300 * time.Millisecond})
	conn := c.dial()
	junk := bytes.Repeat([]byte("x"), 200)
	for range 50 {
		send(t, conn, junk)
	}
	c.settle(50)
	if n := len(c.logs.lines("reason=shape")); n != 1 {
		t.Fatalf("%d lines for 50 refusals:\n%s", n, c.logs)
	}
	time.Sleep(350 * time.Millisecond)
	send(t, conn, junk)
	c.settle(51)
	if lines := c.logs.lines("reason=shape", "suppressed=49"); len(lines) != 1 {
		t.Errorf("the second line does not name the 49 between:\n%s", c.logs)
	}
}

// A report is a batch like any other: handed over once, acknowledged, refused when it cannot be parsed.
func TestReports(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	e := wire.NewReportEncoder(1000)
	e.Add(flow.Reading{Name: "received", Value: 12})
	e.Add(flow.Reading{Subject: "eth0", Name: "dropped", Value: 3})
	body := e.AppendBody(nil, wire.Numbers{Boot: edge.boot, Seq: 7, Floor: 7, Base: 1_700_000_000_000_000_000})
	for range 2 {
		send(t, conn, edge.seal(edge.header(wire.Report), body))
	}
	send(t, conn, edge.seal(edge.header(wire.Report), []byte("ledger")))
	st := c.settle(3)
	if st.Outcomes[ingest.ReasonAccepted] != 1 || st.Outcomes[ingest.ReasonDuplicate] != 1 || st.Outcomes[ingest.ReasonParse] != 1 {
		t.Errorf("reports counted as %s", named(st.Outcomes))
	}
	batches := c.batches()
	if len(batches) != 1 || batches[0].Content != flow.SensorReadings || batches[0].Sensor != "edge-1" || batches[0].Seq != 7 ||
		len(batches[0].Readings) != 2 || batches[0].Readings[1] != (flow.Reading{Subject: "eth0", Name: "dropped", Value: 3}) {
		t.Errorf("handed over: %+v", batches)
	}
}

// dnsBody is a batch of one failed answer.
func dnsBody(boot uint64, question string) []byte {
	e := wire.NewDNSEncoder(1000)
	e.Add(&flow.DNSAnswer{Client: flow.Addr{Lo: 1}, Server: flow.Addr{Lo: 2}, Version: 4, Time: 1_700_000_000_000_000_000, Question: question, QType: 1, RCode: 3})
	return e.AppendBody(nil, wire.Numbers{Boot: boot, Seq: 7, Floor: 7, Base: 1_700_000_000_000_000_000})
}

// Answers are handed over like records, and acknowledged like them.
func TestDNSAnswers(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{}, edge.sensor())
	conn := c.dial()
	for range 2 {
		send(t, conn, edge.seal(edge.header(wire.DNS), dnsBody(edge.boot, "www.example.org")))
	}
	st := c.settle(2)
	if st.Outcomes[ingest.ReasonAccepted] != 1 || st.Outcomes[ingest.ReasonDuplicate] != 1 {
		t.Errorf("counted as %s", named(st.Outcomes))
	}
	batches := c.batches()
	if len(batches) != 1 || batches[0].Content != flow.DNSAnswers || batches[0].Seq != 7 || len(batches[0].Answers) != 1 ||
		batches[0].Answers[0].Question != "www.example.org" || batches[0].Answers[0].RCode != 3 {
		t.Errorf("handed over: %+v", batches)
	}
}
