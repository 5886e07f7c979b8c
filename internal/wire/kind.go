package wire

import "fmt"

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
