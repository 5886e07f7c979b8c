package wire

import "errors"

// Why a plaintext is refused, for errors.Is. ErrVersion stands apart from the others: it is a peer of another release,
// not a damaged one.
var (
	ErrMagic     = errors.New("not a flow datagram")
	ErrVersion   = errors.New("version is not spoken here")
	ErrKind      = errors.New("kind is unknown")
	ErrID        = errors.New("sensor id is malformed")
	ErrTruncated = errors.New("plaintext ends too early")
	ErrTrailing  = errors.New("octets after the last field")
	ErrCoding    = errors.New("coding of the body is unknown")
	ErrSequence  = errors.New("floor is below zero or too far below the sequence number")
	ErrBase      = errors.New("base stamp is out of range")
	ErrInterface = errors.New("interface table is malformed")
	ErrCount     = errors.New("record count is zero or beyond bounds")
	ErrReference = errors.New("reference before the first record")
	ErrMeter     = errors.New("a meter's name is malformed")
	ErrRefusal   = errors.New("refusal is unknown")
	ErrPadding   = errors.New("padding is not zero")
	ErrValue     = errors.New("number is overlong or out of range")
)
