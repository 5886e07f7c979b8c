package dnstap

import (
	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/flow"
)

// Frame takes one frame as from a connection.
func Frame(s *Server, frame []byte, d *dnsmsg.Decoder, emit func(*flow.DNSAnswer)) {
	var a flow.DNSAnswer
	s.frame(frame, d, &a, emit)
}
