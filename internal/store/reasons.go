package store

import (
	"errors"
	"fmt"
)

// errPointTime is the cause of DeadTimeOutOfRange.
var errPointTime = errors.New("point time is outside 1970 to 2261")

// DropReason says why records were lost here. It indexes Stats.Dropped and becomes a metric label.
type DropReason uint8

// The reasons.
const (
	DropQueueFull DropReason = iota // Submit found the queue full: the database is too slow or away
	DropClosed                      // submitted after the pool began to drain
	DropShutdown                    // not written when the time for draining was over
	dropReasons
)

var dropReasonNames = [dropReasons]string{"queue_full", "closed", "shutdown"}

func (r DropReason) String() string {
	if r < dropReasons {
		return dropReasonNames[r]
	}
	return fmt.Sprintf("DropReason(%d)", uint8(r))
}

// DeadReason says why a record stands in the dead-letter file. It indexes Stats.DeadLettered and becomes a metric label.
type DeadReason uint8

// The reasons: the first three are found here, the others are the database's verdict on a line.
const (
	DeadRefused         DeadReason = iota // for a reason without a name here; the file holds the database's words
	DeadRecordInvalid                     // the record breaks flow.Record.Validate
	DeadTimeOutOfRange                    // the point's time does not fit
	DeadLineInvalid                       // the line-protocol library refused a value
	DeadTooLarge                          // the line alone is larger than the database takes
	DeadTypeConflict                      // a field has another type in the database
	DeadBeyondRetention                   // the point is older than the retention policy keeps
	DeadUnparseable                       // the database could not parse the line
	DeadCardinality                       // the database's limit of series or tag values
	deadReasons
)

var deadReasonNames = [deadReasons]string{
	"refused", "record_invalid", "time_out_of_range", "line_invalid", "too_large", "type_conflict", "beyond_retention",
	"unparseable", "cardinality",
}

func (r DeadReason) String() string {
	if r < deadReasons {
		return deadReasonNames[r]
	}
	return fmt.Sprintf("DeadReason(%d)", uint8(r))
}

// Outcome says what became of a batch when it is released.
type Outcome uint8

// The outcomes.
const (
	// Stored: every record of the batch is durable, in the database or in the dead-letter file.
	Stored Outcome = iota + 1
	// Dropped: at least one record of the batch is not, and was counted under a DropReason. Others may be.
	Dropped
)
