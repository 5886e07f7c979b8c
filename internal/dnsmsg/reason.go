package dnsmsg

import "fmt"

// Reason says why a message gives no answer; OK says that it does. It indexes Stats.Messages, and its String is a metric label.
type Reason uint8

// The reasons.
const (
	OK        Reason = iota
	Fragment         // of an IP packet
	Cut              // the capture has not all of it
	Split            // over TCP segments
	Header           // a UDP or TCP header, or a length, that breaks its own rules
	Query            // not a response
	OtherOp          // notify, update and the like
	Truncated        // the server had more to say than fitted (TC): the client asks again by TCP
	Question         // none, or more than one
	Class            // another one than IN
	OtherType        // without an address, and none was asked for
	Referral         // to other name servers: a resolver's own business
	Malformed        // names, lengths or counts that break the rules
	Records          // more records than any honest answer has
	Aliases          // they go round, or on for too long
	Name             // longer than it may be as text

	reasonCount
)

var reasonNames = [reasonCount]string{
	"ok", "fragment", "cut", "split", "header", "query", "other_op", "truncated", "question", "class", "other_type", "referral", "malformed",
	"records", "aliases", "name",
}

func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Note is what was left out of an answer. It indexes Stats.Notes.
type Note uint8

// The notes.
const (
	// NoteChainCut counts answers whose chain of aliases was too long to be kept whole.
	NoteChainCut Note = iota
	// NoteAddressesCut counts answers that had more addresses than flow.MaxDNSAddresses.
	NoteAddressesCut
	// NoteTTL counts records whose time to live had its highest bit set, which makes it 0 (RFC 2181 section 8).
	NoteTTL

	noteCount
)

var noteNames = [noteCount]string{"chain_cut", "addresses_cut", "ttl"}

func (n Note) String() string {
	if n < noteCount {
		return noteNames[n]
	}
	return fmt.Sprintf("Note(%d)", uint8(n))
}
