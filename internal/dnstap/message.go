package dnstap

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"flowsensor/internal/flow"
)

// Field numbers and values of dnstap.proto (https://github.com/dnstap/dnstap.pb). Written out, since the generated code
// comes with a DNS library and a decade of others for the seven fields that are read here.
const (
	dnstapMessage = 14
	dnstapType    = 15

	typeMessage = 1 // Dnstap.Type

	messageType            = 1
	messageQueryAddress    = 4
	messageResponseAddress = 5
	messageResponseSec     = 12
	messageResponseNsec    = 13
	messageResponse        = 14

	clientResponse = 6 // Message.Type
)

// message is what is read of a CLIENT_RESPONSE.
type message struct {
	kind           uint64
	client, server []byte
	sec, nsec      uint64
	response       []byte
}

// fields visits the fields of an encoded message: number is of its varint or fixed value, or octets are its content. It is
// false where the encoding is broken.
func fields(b []byte, visit func(field int, number uint64, octets []byte)) bool {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		var number uint64
		var octets []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			number = uint64(v)
		case protowire.BytesType:
			octets, n = protowire.ConsumeBytes(b)
		case protowire.Fixed64Type, protowire.StartGroupType, protowire.EndGroupType:
			n = protowire.ConsumeFieldValue(field, kind, b)
		default:
			return false
		}
		if n < 0 {
			return false
		}
		visit(int(field), number, octets)
		b = b[n:]
	}
	return true
}

// parse reads a frame. The result borrows from it.
func parse(frame []byte) (m message, r Reason, ok bool) {
	var body []byte
	kind := uint64(0)
	whole := fields(frame, func(field int, number uint64, octets []byte) {
		switch field {
		case dnstapMessage:
			body = octets
		case dnstapType:
			kind = number
		}
	})
	if !whole {
		return m, Malformed, false
	}
	if kind != typeMessage {
		return m, OtherType, false
	}
	whole = fields(body, func(field int, number uint64, octets []byte) {
		switch field {
		case messageType:
			m.kind = number
		case messageQueryAddress:
			m.client = octets
		case messageResponseAddress:
			m.server = octets
		case messageResponseSec:
			m.sec = number
		case messageResponseNsec:
			m.nsec = number
		case messageResponse:
			m.response = octets
		}
	})
	switch {
	case !whole:
		return m, Malformed, false
	case m.kind != clientResponse:
		return m, OtherType, false
	case len(m.response) == 0 || !sameFamily(m.client, m.server):
		return m, Incomplete, false
	}
	return m, 0, true
}

// sameFamily reports whether both are addresses of one IP version. A server need not tell its own.
func sameFamily(client, server []byte) bool {
	return (len(client) == 4 || len(client) == 16) && (len(server) == 0 || len(server) == len(client))
}

func addr(b []byte) flow.Addr {
	switch len(b) {
	case 4:
		return flow.AddrFrom4(b)
	case 16:
		return flow.AddrFrom16(b)
	default:
		return flow.Addr{}
	}
}

// address writes what the message says of its ends and its time into an answer.
func (m *message) address(a *flow.DNSAnswer, now time.Time) {
	a.Client, a.Server, a.Version = addr(m.client), addr(m.server), 4
	if len(m.client) == 16 {
		a.Version = 6
	}
	a.Time = now.UnixNano()
	if m.sec > 0 && m.sec < uint64(flow.MaxTime/int64(time.Second)) && m.nsec < 1e9 {
		a.Time = int64(m.sec)*1e9 + int64(m.nsec)
	}
}
