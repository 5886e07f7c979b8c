package wire

import (
	"encoding/binary"
	"fmt"
)

// Version of the bodies' coding.
const Version = 1

// MaxID is the length of the longest sensor id.
const MaxID = 63

const (
	magic0, magic1 = 'f', 's'
	idOffset       = 5  // magic, version, kind, length of the id
	stampLen       = 16 // boot, tx
)

// Header is what every plaintext begins with.
type Header struct {
	Kind Kind
	ID   string // the sensor's id, whoever sends
	Boot uint64 // the sender's start, ns since the Unix epoch
	TX   uint64 // the sender's count of datagrams within Boot
}

// HeaderLen is the length of a header with an id of idLen octets.
func HeaderLen(idLen int) int { return idOffset + idLen + stampLen }

// AppendHeader appends h. The id must be a valid one: any other makes a header that ParseHeader refuses.
func AppendHeader(dst []byte, h Header) []byte {
	id := h.ID
	if len(id) > MaxID {
		id = ""
	}
	dst = append(dst, magic0, magic1, Version, byte(h.Kind), byte(len(id)))
	dst = append(dst, id...)
	dst = binary.BigEndian.AppendUint64(dst, h.Boot)
	return binary.BigEndian.AppendUint64(dst, h.TX)
}

// ParseHeader splits a plaintext into header and body; the body is a part of b. With ErrVersion and ErrKind the header
// is filled all the same, so that the sender can be told; whether the kind may travel in this direction is for the
// caller to ask.
func ParseHeader(b []byte) (h Header, body []byte, err error) {
	// Short enough to be inlined: a caller that only looks at the id has it on its stack.
	h, id, body, err := parseHeader(b)
	h.ID = string(id)
	return h, body, err
}

func parseHeader(b []byte) (h Header, id, body []byte, err error) {
	if len(b) < idOffset {
		return Header{}, nil, nil, ErrTruncated
	}
	if b[0] != magic0 || b[1] != magic1 {
		return Header{}, nil, nil, ErrMagic
	}
	end := idOffset + int(b[idOffset-1])
	if len(b) < end+stampLen {
		return Header{}, nil, nil, ErrTruncated
	}
	if !validID(b[idOffset:end]) {
		return Header{}, nil, nil, ErrID
	}
	h = Header{Kind: Kind(b[3]), Boot: binary.BigEndian.Uint64(b[end:]), TX: binary.BigEndian.Uint64(b[end+8:])}
	switch {
	case b[2] != Version:
		return h, b[idOffset:end], nil, fmt.Errorf("%w: %d, this is %d", ErrVersion, b[2], Version)
	case !h.Kind.Valid():
		return h, b[idOffset:end], nil, fmt.Errorf("%w: %d", ErrKind, b[3])
	}
	return h, b[idOffset:end], b[end+stampLen:], nil
}

// validID holds an id to [A-Za-z0-9][A-Za-z0-9._-]{0,62}.
func validID(id []byte) bool {
	if len(id) == 0 || len(id) > MaxID {
		return false
	}
	for i, c := range id {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}
