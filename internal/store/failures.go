package store

import (
	"strings"
	"time"

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
		e.string("question", a.Question)
		e.string("qtype", a.Type())
		if len(a.Chain) > 0 {
			e.string("chain", strings.Join(a.Chain, " "))
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
