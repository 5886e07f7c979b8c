package store

import (
	"strconv"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"flowsensor/internal/flow"
)

// dnsMeasurement is where the DNS answers go that gave a client nothing to connect to. Its tags are the sensor and the
// outcome alone: names are what strangers make them, and belong into no index.
const dnsMeasurement = "dns"

// failures appends a line for each that failed, those of a batch that say the same as one. The point time is that of the
// first one's place in the batch, so that a batch which comes again makes the same points.
func (e *Encoder) failures(to *Lines, b *flow.Batch, refuse func(i int, why DeadReason, cause error)) {
	for i, times := range flow.DNSFailures(b.Answers) {
		a := &b.Answers[i]
		at, ok := pointTime(b, i)
		if !ok {
			refuse(i, DeadTimeOutOfRange, errPointTime)
			continue
		}
		if err := a.Validate(); err != nil {
			refuse(i, DeadRecordInvalid, err)
			continue
		}
		e.line.StartLine(dnsMeasurement)
		e.line.AddTag("rcode", a.Outcome())
		e.line.AddTag("sensor", tagValue(b.Sensor))
		e.addr("client", a.Client.Netip(a.Version))
		e.addr("server", a.Server.Netip(a.Version))
		e.name("question", a.Question)
		e.name("qtype", qtypeText(a.QType))
		if len(a.Chain) > 0 {
			e.name("chain", strings.Join(a.Chain, " "))
		}
		e.int("count", int64(times))
		e.int("first", a.Time/1000)
		e.line.EndLine(time.Unix(0, at))
		if err := e.line.Err(); err != nil {
			e.line.ClearErr()
			refuse(i, DeadLineInvalid, err)
			continue
		}
		to.data = e.line.Bytes()
		to.mark(Count{Reports: 1})
	}
}

// name writes what flow.ValidDNSName holds to printable ASCII, for which the error that the library reserves for other text
// cannot happen.
func (e *Encoder) name(key, text string) {
	value, _ := lineprotocol.StringValue(text)
	e.line.AddField(key, value)
}

// qtypes are the types that clients ask for (IANA, DNS resource record types).
var qtypes = map[uint16]string{
	1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR", 43: "DS", 48: "DNSKEY",
	64: "SVCB", 65: "HTTPS", 255: "ANY",
}

// qtypeText names a type, as RFC 3597 section 5 has it where it is not a common one.
func qtypeText(t uint16) string {
	if name, ok := qtypes[t]; ok {
		return name
	}
	return "TYPE" + strconv.Itoa(int(t))
}
