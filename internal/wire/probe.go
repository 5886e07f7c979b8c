package wire

// The body of a Probe datagram, coding 0: an octet for the coding, and zeros. The zeros are the room of the answer, which
// is never longer than what it answers. A probe's tx is a number of its own, which the answer repeats.

// MaxProbe is the longest body of a probe.
const MaxProbe = 512

// ProbePadding is enough room for any answer to a probe.
const ProbePadding = 160

// AppendProbe appends the body of a probe.
func AppendProbe(dst []byte) []byte {
	dst = append(dst, codingPlain)
	return append(dst, make([]byte, ProbePadding)...)
}

// ParseProbe holds the body of a probe to what AppendProbe makes, of any length up to MaxProbe.
func ParseProbe(body []byte) error {
	switch {
	case len(body) == 0:
		return ErrTruncated
	case body[0] != codingPlain:
		return ErrCoding
	case len(body) > MaxProbe:
		return ErrTrailing
	}
	for _, b := range body[1:] {
		if b != 0 {
			return ErrPadding
		}
	}
	return nil
}
