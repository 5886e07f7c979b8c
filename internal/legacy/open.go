package legacy

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/seal"
)

const (
	tokenStart = "gAAAAA"
	// maxID is how far into a datagram of a sensor the space behind its id stands at most.
	maxID = 63
)

// greeting is the whole of the datagram that an agent sends when it starts.
var greeting = []byte("Test")

// Looks reports whether a datagram is one of an agent by its looks: a token without an id in front, or the greeting.
func Looks(datagram []byte) bool {
	if !bytes.HasPrefix(datagram, []byte(tokenStart)) {
		return bytes.Equal(datagram, greeting)
	}
	return bytes.IndexByte(datagram[:min(len(datagram), maxID+1)], ' ') < 0
}

// Open takes a datagram that came from an address at a time, and makes a batch of it: everything in b is set, its slices are
// used again. With a reason other than ReasonOK nothing of b means anything.
func (a *Agents) Open(b *flow.Batch, datagram []byte, from netip.Addr, received time.Time) Reason {
	sender := a.byAddress[from.Unmap().WithZone("")]
	switch {
	case sender == nil:
		return ReasonUnknownAgent
	case bytes.Equal(datagram, greeting):
		return ReasonGreeting
	}
	token, reason := sender.opener.Open(nil, datagram, received)
	if reason != seal.ReasonOK {
		return openReasons[reason]
	}
	if reason := sender.remember(&token, received); reason != ReasonOK {
		return reason
	}
	text := make([]byte, base64.StdEncoding.DecodedLen(len(token.Plaintext)))
	n, err := base64.StdEncoding.Decode(text, token.Plaintext)
	if err != nil {
		return ReasonEncoding
	}
	if err := parseFlows(text[:n], b); err != nil {
		return ReasonParse
	}
	for i := range b.Records {
		if b.Records[i].Validate() != nil {
			return ReasonValidate
		}
	}
	sender.number(b, received)
	return ReasonOK
}

// remember takes a token unless it was taken before.
func (a *agent) remember(token *seal.Bare, received time.Time) Reason {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen.take(token.MAC, token.Sealed.Unix(), a.opener.Oldest(received).Unix())
}

// number gives the batch the numbers that a sensor would have given it. Nothing is sent again, so the floor is the batch.
func (a *agent) number(b *flow.Batch, received time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.Content, b.Sensor, b.Readings, b.Answers, b.Body = flow.Flows, a.id, b.Readings[:0], b.Answers[:0], b.Body[:0]
	b.Boot, b.Seq, b.Floor = a.boot, a.seq, a.seq
	b.Received = received.UnixNano()
	b.Base = max(a.base, b.Received, 0)
	a.base = b.Base + int64(len(b.Records))
	a.seq++
	a.stats.Batches++
	a.stats.Records += uint64(len(b.Records))
	if received.After(a.stats.LastSeen) {
		a.stats.LastSeen = received
	}
}
