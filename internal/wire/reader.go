package wire

import "encoding/binary"

// reader takes a body apart from the front. After the first error it gives zeros, so that one look at err at the end of a
// column is enough.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// take gives the next n octets, nil when there are not so many.
func (r *reader) take(n int) []byte {
	if len(r.rest) < n {
		r.fail(ErrTruncated)
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) octet() uint8 {
	if len(r.rest) == 0 {
		r.fail(ErrTruncated)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint48() uint64 {
	if b := r.take(6); b != nil {
		return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// uvarint reads a varint that is not longer than need be.
func (r *reader) uvarint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		v := uint64(r.rest[0])
		r.rest = r.rest[1:]
		return v
	}
	v, n := binary.Uvarint(r.rest)
	switch {
	case n == 0:
		r.fail(ErrTruncated)
		return 0
	case n < 0 || r.rest[n-1] == 0:
		r.fail(ErrValue)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// upTo reads a varint and refuses one above most.
func (r *reader) upTo(most uint64) uint64 {
	v := r.uvarint()
	if v > most {
		r.fail(ErrValue)
		return 0
	}
	return v
}

// signed reads a zigzag varint.
func (r *reader) signed() int64 { return unzigzag(r.uvarint()) }
