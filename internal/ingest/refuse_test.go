package ingest_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/wire"
)

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
	if len(c.batches()) != 0 || st.Accepted != (flow.Volume{}) {
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
