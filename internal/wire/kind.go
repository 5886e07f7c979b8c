package wire

import (
	"fmt"

	"flowsensor/internal/flow"
)

// Kind says what a datagram's body is. The numbers are fixed: do not reorder, add at the end.
type Kind uint8

// The kinds. The zero value is invalid.
const (
	_      Kind = iota
	Flows       // a batch of flow records
	Report      // a sensor's ledger
	Ack         // the collector's answer, to a probe too
	DNS         // names seen by a sensor
	Probe       // a sensor asks whether and how it is heard
	kinds
)

var kindNames = [kinds]string{"", "flows", "report", "ack", "dns", "probe"}

// Valid reports whether k is one of the named kinds.
func (k Kind) Valid() bool { return k > 0 && k < kinds }

// ToCollector reports whether k travels from a sensor to a collector.
func (k Kind) ToCollector() bool { return k.Valid() && k != Ack }

// ToSensor reports whether k travels from a collector to a sensor. No kind travels both ways: both directions are sealed
// with the same key, and a datagram thrown back at its sender must not pass for an answer.
func (k Kind) ToSensor() bool { return k == Ack }

func (k Kind) String() string {
	if k.Valid() {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Content is what a batch in a body of kind k holds, and false where the body carries no batch. A batch has numbers and
// is acknowledged.
func (k Kind) Content() (flow.Content, bool) {
	switch k {
	case Flows:
		return flow.Flows, true
	case Report:
		return flow.SensorReadings, true
	case DNS:
		return flow.DNSAnswers, true
	case Ack, Probe, kinds:
	}
	return 0, false
}

// Parse parses a body that carries a batch of that content into b, all or nothing. A collector's readings are coded like a
// sensor's; they come from no network.
func Parse(c flow.Content, body []byte, b *flow.Batch) error {
	b.Content = c
	b.Records, b.Interfaces, b.Readings, b.Answers = b.Records[:0], b.Interfaces[:0], b.Readings[:0], b.Answers[:0]
	switch c {
	case flow.Flows:
		return ParseFlows(body, b)
	case flow.SensorReadings, flow.CollectorReadings:
		return ParseReport(body, b)
	case flow.DNSAnswers:
		return ParseDNS(body, b)
	default:
		return ErrKind
	}
}
