package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

// A message holds the batches of one group:
//
//	octet 0       1       2
//	      +-------+-------+-------+---------
//	      |  'f'     'j'  |version| entries, one after the other to the end
//	      +-------+-------+-------+---------
//
//	entry:  length of the sensor's id (1 octet), the id
//	        content (1 octet): flow.Content
//	        received, ns since the Unix epoch, big endian in 8 octets
//	        length of the body (varint), the body as on the wire: boot, seq, floor, base and what the content calls for
//
// A reader refuses a version that it does not know and leaves the message where it is.
const (
	messageVersion = 1
	headerLen      = 3
	// maxSensor is the longest id, as in the datagram.
	maxSensor = 63
	// maxBody is the longest body that is taken: many times what a datagram holds.
	maxBody = 128 << 10
	// maxEntry bounds what one batch adds to a message.
	maxEntry = 1 + maxSensor + 1 + 8 + binary.MaxVarintLen32 + maxBody
)

// MaxReadings is the most readings that a batch may hold.
const MaxReadings = wire.MaxReadings

// Why a message cannot be read.
var (
	errMagic     = errors.New("not a message of the journal")
	errVersion   = errors.New("a newer flow-collector wrote this: install that version here too; its format is not spoken here")
	errMalformed = errors.New("entry is malformed")
)

// appendHeader begins a message.
func appendHeader(dst []byte) []byte { return append(dst, 'f', 'j', messageVersion) }

// appendEntry appends a batch, given its body.
func appendEntry(dst []byte, b *flow.Batch, body []byte) []byte {
	dst = append(dst, byte(len(b.Sensor)))
	dst = append(dst, b.Sensor...)
	dst = append(dst, byte(b.Content))
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.Received))
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

// readHeader gives the entries of a message.
func readHeader(message []byte) ([]byte, error) {
	switch {
	case len(message) < headerLen || message[0] != 'f' || message[1] != 'j':
		return nil, errMagic
	case message[2] != messageVersion:
		return nil, fmt.Errorf("message: %w: %d", errVersion, message[2])
	}
	return message[headerLen:], nil
}

// readEntry reads the first entry into b and gives the rest. The sensor's id is cut from the entry by intern, so that
// the same sensor costs no memory twice.
func readEntry(entries []byte, b *flow.Batch, intern func([]byte) string) (rest []byte, err error) {
	n := int(entries[0])
	entries = entries[1:]
	if n == 0 || n > maxSensor || len(entries) < n+9 {
		return nil, errMalformed
	}
	b.Sensor = intern(entries[:n])
	content := flow.Content(entries[n])
	b.Received = int64(binary.BigEndian.Uint64(entries[n+1:]))
	entries = entries[n+9:]
	size, used := binary.Uvarint(entries)
	if used <= 0 || size > maxBody || size > uint64(len(entries)-used) {
		return nil, errMalformed
	}
	body := entries[used : used+int(size)]
	b.Body = b.Body[:0]
	if err := wire.Parse(content, body, b); err != nil {
		return nil, fmt.Errorf("batch of sensor %s: %w", b.Sensor, err)
	}
	return entries[used+int(size):], nil
}

// encoder makes a body of a batch that did not come with one. Not safe for concurrent use.
type encoder struct {
	flows    *wire.FlowsEncoder
	readings *wire.ReportEncoder
	answers  *wire.DNSEncoder
	body     []byte
}

func newEncoder() *encoder {
	return &encoder{flows: wire.NewFlowsEncoder(maxBody), readings: wire.NewReportEncoder(maxBody), answers: wire.NewDNSEncoder(maxBody)}
}

// encode gives the body, valid until the next call, and false when the batch does not fit.
func (e *encoder) encode(b *flow.Batch) ([]byte, bool) {
	n := wire.Numbers{Boot: b.Boot, Seq: b.Seq, Floor: b.Floor, Base: b.Base}
	switch b.Content {
	case flow.Flows:
		e.flows.Reset()
		for i := range b.Records {
			r := &b.Records[i]
			if !e.flows.Add(r, b.InterfaceName(r.IfIndex)) {
				return nil, false
			}
		}
		e.body = e.flows.AppendBody(e.body[:0], n)
	case flow.SensorReadings, flow.CollectorReadings:
		e.readings.Reset()
		for _, r := range b.Readings {
			if !e.readings.Add(r) {
				return nil, false
			}
		}
		e.body = e.readings.AppendBody(e.body[:0], n)
	case flow.DNSAnswers:
		e.answers.Reset()
		for i := range b.Answers {
			if !e.answers.Add(&b.Answers[i]) {
				return nil, false
			}
		}
		e.body = e.answers.AppendBody(e.body[:0], n)
	default:
		return nil, false
	}
	return e.body, true
}
