package seal

import "fmt"

// Reason says why a datagram was refused, in the order of the checks. It indexes counter arrays of length Reasons.
type Reason uint8

// The reasons. Those before ReasonClockOld come before authentication: nothing in such a datagram is to be believed, not
// even its id, and it must not become a label.
const (
	ReasonOK         Reason = iota // opened, in time
	ReasonSize                     // shorter or longer than any datagram
	ReasonShape                    // not "id SP token"
	ReasonUnknownID                // no sensor has that id
	ReasonAddress                  // sent from outside the sensor's prefixes
	ReasonHMAC                     // no key of the sensor opens it
	ReasonClockOld                 // authentic, stamped longer ago than the TTL
	ReasonClockAhead               // authentic, stamped further ahead than the skew
	// Reasons is how many there are.
	Reasons = int(iota)
)

var reasonNames = [Reasons]string{
	"ok", "size", "shape", "unknown_id", "address", "hmac", "clock_old", "clock_ahead",
}

// Authentic reports whether a datagram with that outcome was made by a holder of the sensor's key.
func (r Reason) Authentic() bool {
	return r == ReasonOK || r == ReasonClockOld || r == ReasonClockAhead
}

func (r Reason) String() string {
	if int(r) < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}
