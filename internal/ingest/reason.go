package ingest

import (
	"fmt"

	"flowsensor/internal/seal"
)

// Reason is how a datagram ended: taken, or refused at one of the steps. It indexes counter arrays of length Reasons.
type Reason uint8

// The reasons, in the order of the steps.
const (
	ReasonAccepted      Reason = iota // handed over
	ReasonTruncated                   // longer than the configured limit
	ReasonLegacy                      // of a legacy agent, and taken: Stats.Legacy says more
	ReasonLegacyRefused               // a bare token, and not taken: Stats.Legacy says why
	ReasonSize                        // shorter or longer than any datagram
	ReasonShape                       // not "id SP token"
	ReasonUnknownID                   // no sensor has that id
	ReasonAddress                     // sent from outside the sensor's prefixes
	ReasonHMAC                        // no key of the sensor opens it
	ReasonClockOld                    // authentic, stamped longer before its receive time than the TTL
	ReasonClockAhead                  // authentic, stamped further ahead of its receive time than the skew
	ReasonHeader                      // the plaintext has no header of ours
	ReasonIDMismatch                  // the id inside the token is not the one outside
	ReasonKind                        // a kind that does not exist, or does not travel towards a collector
	ReasonReplayed                    // the tx was seen
	ReasonTXOld                       // the tx lies below the replay window
	ReasonBootOld                     // of a boot that is neither known nor newer than the newest
	ReasonVersion                     // the body is coded in a version not spoken here
	ReasonParse                       // the body cannot be parsed
	ReasonValidate                    // the body says what no sensor says
	ReasonDuplicate                   // the batch was taken before, under another tx
	ReasonQueueFull                   // the next stage had no room
	ReasonUnfit                       // the next stage will never take the batch
	reasons             = int(iota)
)

// Reasons is how many there are.
const Reasons = reasons

var reasonNames = [Reasons]string{
	"accepted", "truncated", "legacy", "legacy_refused", "size", "shape", "unknown_id", "address", "hmac", "clock_old", "clock_ahead", "header",
	"id_mismatch", "kind", "replayed", "tx_old", "boot_old", "version", "parse", "validate",
	"duplicate", "queue_full", "unfit",
}

func (r Reason) String() string {
	if int(r) < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Authentic reports whether a datagram that ended so was made by a holder of the sensor's key.
func (r Reason) Authentic() bool { return r == ReasonAccepted || r >= ReasonClockOld }

// openReasons gives the Reason for what the opener said.
var openReasons = [seal.Reasons]Reason{
	seal.ReasonOK:         ReasonAccepted,
	seal.ReasonSize:       ReasonSize,
	seal.ReasonShape:      ReasonShape,
	seal.ReasonUnknownID:  ReasonUnknownID,
	seal.ReasonAddress:    ReasonAddress,
	seal.ReasonHMAC:       ReasonHMAC,
	seal.ReasonClockOld:   ReasonClockOld,
	seal.ReasonClockAhead: ReasonClockAhead,
}

// txReasons gives the Reason for what the replay window said.
var txReasons = [seal.Verdicts]Reason{
	seal.VerdictNew:         ReasonAccepted,
	seal.VerdictReplayed:    ReasonReplayed,
	seal.VerdictTooOld:      ReasonTXOld,
	seal.VerdictUnknownBoot: ReasonBootOld,
}
