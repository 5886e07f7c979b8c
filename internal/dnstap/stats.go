package dnstap

import (
	"fmt"
	"sync/atomic"

	"flowsensor/internal/dnsmsg"
)

// Reason says why a frame or a connection gave nothing. It indexes Stats.Refused, and its String is a metric label.
type Reason uint8

// The reasons. What the message itself lacks is in Stats.Messages.
const (
	Busy        Reason = iota // a connection beyond the most there may be
	Handshake                 // a connection that is not Frame Streams, or of other content
	Broken                    // a connection that ended within a frame
	TooLong                   // a frame
	Malformed                 // a frame that is no dnstap message
	OtherType                 // a message of another type, or none
	Incomplete                // a message without response, client or server
	NotAccepted               // a try to take a connection that failed, for want of descriptors mostly

	reasons
)

var reasonNames = [reasons]string{"busy", "handshake", "broken", "too_long", "malformed", "other_type", "incomplete", "not_accepted"}

func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Stats is what a Server counted since it was made.
type Stats struct {
	Connections int // now
	Accepted    uint64
	Frames      uint64
	Refused     [reasons]uint64
	Messages    dnsmsg.Stats // of ended connections and of those there are
}

type counters struct {
	accepted, frames atomic.Uint64
	refused          [reasons]atomic.Uint64
}

func (c *counters) refuse(r Reason) { c.refused[r].Add(1) }

// Stats may be called from any goroutine.
func (s *Server) Stats() Stats {
	out := Stats{Accepted: s.counters.accepted.Load(), Frames: s.counters.frames.Load()}
	for i := range out.Refused {
		out.Refused[i] = s.counters.refused[i].Load()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Connections, out.Messages = len(s.open), s.ended
	for _, d := range s.open {
		out.Messages = out.Messages.Plus(d.Stats())
	}
	return out
}
