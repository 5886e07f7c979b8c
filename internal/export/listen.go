package export

import (
	"errors"
	"net"
	"time"

	"flowsensor/internal/seal"
	"flowsensor/internal/wire"
)

// AnswerReason says why a datagram that came back was not heeded. The String form is a metric label.
type AnswerReason uint8

// The reasons.
const (
	AnswerForged   AnswerReason = iota // not sealed with our key, or junk
	AnswerKind                         // authentic, but not an answer: a datagram of ours that was thrown back
	AnswerUnparsed                     // of a version or coding that is not spoken here
	AnswerBoot                         // to another life of this sensor
	AnswerUnsent                       // to what was never sent
	AnswerStale                        // a probe's that nobody waits for any more
	// AnswerReasons is how many there are.
	AnswerReasons
)

var answerReasonNames = [AnswerReasons]string{"forged", "kind", "unparsed", "boot", "unsent", "stale"}

func (r AnswerReason) String() string {
	if r < AnswerReasons {
		return answerReasonNames[r]
	}
	return "unknown"
}

// heard is what a link's listener has for the sender: an answer, or the error of an earlier send.
type heard struct {
	answer *wire.Answer
	err    error
}

// maxAnswer is longer than any answer to a datagram of ours.
const maxAnswer = 1 << 16

// readPause keeps a socket that only gives errors from taking a core.
const readPause = 10 * time.Millisecond

// listener reads the answers that come to one link until that is closed. Answers come from the collector's address
// alone: the socket is connected.
type listener struct {
	link     *link
	id       string
	opener   func() *seal.Opener
	counters *counters
	out      chan<- heard
}

func (l *listener) run() {
	defer close(l.link.listened)
	buf, plain := make([]byte, maxAnswer), []byte(nil)
	for {
		n, err := l.link.read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var h heard
		if err != nil {
			h.err = err
		} else if h.answer, plain = l.open(plain[:0], buf[:n]); h.answer == nil {
			continue
		}
		select {
		case l.out <- h:
		case <-l.link.gone:
			return
		}
		if err != nil && !l.pause() {
			return
		}
	}
}

func (l *listener) pause() bool {
	timer := time.NewTimer(readPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.link.gone:
		return false
	}
}

// open gives the answer in a datagram, nil when it is none. There is no time limit on answers: what they say stays true.
func (l *listener) open(dst, datagram []byte) (*wire.Answer, []byte) {
	opened, reason := l.opener().Open(dst, datagram, l.link.Remote.Addr(), time.Now())
	if reason != seal.ReasonOK {
		l.counters.answersRefused[AnswerForged].Add(1)
		return nil, dst
	}
	plain := opened.Plaintext
	h, body, err := wire.ParseHeader(plain)
	switch {
	case errors.Is(err, wire.ErrVersion):
		l.counters.answersRefused[AnswerUnparsed].Add(1)
		return nil, plain
	case err != nil || !h.Kind.ToSensor() || h.ID != l.id:
		l.counters.answersRefused[AnswerKind].Add(1)
		return nil, plain
	}
	a, err := wire.ParseAnswer(body)
	if err != nil {
		l.counters.answersRefused[AnswerUnparsed].Add(1)
		return nil, plain
	}
	a.Acks.Bits = append([]byte(nil), a.Acks.Bits...)
	return &a, plain
}

// newAnswerOpener opens what is sealed with one of the keys: the newest, and the one before it, which still comes back
// for a while.
func newAnswerOpener(id string, keys ...seal.Key) (*seal.Opener, error) {
	return seal.NewOpener([]seal.Sensor{{ID: id, Keys: keys}}, seal.Limits{TTL: -1, Skew: -1})
}
