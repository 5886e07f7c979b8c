package rollup

import "fmt"

// Reason says why a record's time was not taken as it came, or what else was unusual with it. It indexes Stats.Unusual
// and becomes a metric label. None of them loses a record.
type Reason uint8

// The reasons.
const (
	// Late: the record ended more than an hour before its window. It goes where it belongs.
	Late Reason = iota
	// TooLate: its time is older than rows can say. It goes to the oldest time that they can.
	TooLate
	// Ahead: its time is after its window. It goes to the newest time that rows can say.
	Ahead
	// TooLong: it was active for longer than MaxSpan. It is spread over the last of that time.
	TooLong
	reasons
)

var reasonNames = [reasons]string{"late", "too_late", "ahead", "too_long"}

func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Measurement is one of the measurements. It indexes Stats.Measurements.
type Measurement uint8

// The measurements.
const (
	MeasureTraffic Measurement = iota
	MeasureConversation
	MeasureActivities
	measurements
)

var measurementNames = [measurements]string{"traffic", "conversation", "activities"}

// String is the measurement's name in the database.
func (m Measurement) String() string {
	if m < measurements {
		return measurementNames[m]
	}
	return fmt.Sprintf("Measurement(%d)", uint8(m))
}
