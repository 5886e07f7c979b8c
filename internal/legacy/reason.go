package legacy

import (
	"fmt"

	"flowsensor/internal/seal"
)

// Reason is how a datagram ended. It indexes counter arrays of length Reasons.
type Reason uint8

// The reasons, in the order of the steps.
const (
	ReasonOK           Reason = iota // a batch was made of it
	ReasonUnknownAgent               // no agent has that address
	ReasonGreeting                   // what an agent sends at its start to see whether it can send
	ReasonSize                       // shorter than any token
	ReasonShape                      // not a token
	ReasonHMAC                       // no key of the agent opens it
	ReasonClockOld                   // authentic, stamped longer before its receive time than the TTL
	ReasonClockAhead                 // authentic, stamped further ahead of its receive time than the skew
	ReasonReplayed                   // the same token was taken before
	ReasonReplayFull                 // more tokens than can be remembered until they are too old
	ReasonEncoding                   // the plaintext is not base64
	ReasonParse                      // not a JSON object of flows as the agents write them
	ReasonValidate                   // it says what no agent sees
	// Reasons is how many there are.
	Reasons = int(iota)
)

var reasonNames = [Reasons]string{
	"ok", "unknown_agent", "greeting", "size", "shape", "hmac", "clock_old", "clock_ahead", "replayed", "replay_full", "encoding",
	"parse", "validate",
}

func (r Reason) String() string {
	if int(r) < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// openReasons gives the Reason for what the opener said. Those of ids and their prefixes do not come.
var openReasons = [seal.Reasons]Reason{
	seal.ReasonOK:         ReasonOK,
	seal.ReasonSize:       ReasonSize,
	seal.ReasonShape:      ReasonShape,
	seal.ReasonUnknownID:  ReasonUnknownAgent,
	seal.ReasonAddress:    ReasonUnknownAgent,
	seal.ReasonHMAC:       ReasonHMAC,
	seal.ReasonClockOld:   ReasonClockOld,
	seal.ReasonClockAhead: ReasonClockAhead,
}
