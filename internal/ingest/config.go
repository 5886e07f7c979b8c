package ingest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/legacy"
	"flowsensor/internal/seal"
)

// Defaults of Config.
const (
	DefaultReceiveBuffer = 8 << 20
	DefaultMaxDatagram   = 65535 // no UDP payload is longer
	DefaultLogPeriod     = time.Minute
	DefaultAnswerAfter   = 50 * time.Millisecond
)

// minDatagram is the sensors' own payload limit towards IPv4 peers: a buffer below it would refuse honest datagrams.
const minDatagram = 1472

// Config says where to listen and how.
type Config struct {
	// ID names this collector in its answers; "" leaves it out.
	ID string
	// AnswerAfter is how long an acknowledgement may wait for others to leave with it. 0 means DefaultAnswerAfter.
	AnswerAfter time.Duration
	// Listen are the addresses, IPv4 or IPv6. 0.0.0.0 and :: can share a port: an IPv6 socket takes IPv6 alone.
	Listen []netip.AddrPort
	// Conns are UDP sockets opened elsewhere (systemd's socket activation). Where there are any, Listen and Processors say
	// nothing: each gets one goroutine. Listen takes them over and closes them, also when it fails.
	Conns []net.PacketConn
	// Agents are those of older systems that may send bare tokens; nil is none.
	Agents *legacy.Agents
	// Processors is the number of sockets bound to each address (SO_REUSEPORT), each with a goroutine that does all the
	// work of its datagrams. The senders are spread over them by the kernel. 0 means one for each CPU.
	Processors int
	// ReceiveBuffer of each socket in bytes. It holds what arrives while the processors are busy: at 30,000 datagrams a
	// second of 1472 bytes (2304 bytes of kernel memory each) 8 MiB are about a quarter of a second. 0 means
	// DefaultReceiveBuffer.
	ReceiveBuffer int
	// MaxDatagram is the longest datagram that is taken; a longer one is counted as truncated. Memory is touched only as
	// far as datagrams are long. 0 means DefaultMaxDatagram.
	MaxDatagram int
	// LogPeriod is the time in which one line at most is logged for each reason of refusal. 0 means DefaultLogPeriod.
	LogPeriod time.Duration
}

// ErrConfig says that a Config cannot be used.
var ErrConfig = errors.New("ingest configuration")

// withDefaults gives a copy with the defaults filled in, or says what cannot be.
func (c Config) withDefaults() (Config, error) {
	if c.Processors == 0 {
		c.Processors = runtime.GOMAXPROCS(0)
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = DefaultReceiveBuffer
	}
	if c.MaxDatagram == 0 {
		c.MaxDatagram = DefaultMaxDatagram
	}
	if c.LogPeriod == 0 {
		c.LogPeriod = DefaultLogPeriod
	}
	if c.AnswerAfter == 0 {
		c.AnswerAfter = DefaultAnswerAfter
	}
	switch {
	case c.ID != "" && seal.ValidID(c.ID) != nil:
		return c, fmt.Errorf("%w: collector's name %q: %w", ErrConfig, c.ID, seal.ErrID)
	case c.AnswerAfter < 0:
		return c, fmt.Errorf("%w: answers after %v", ErrConfig, c.AnswerAfter)
	case len(c.Listen) == 0 && len(c.Conns) == 0:
		return c, fmt.Errorf("%w: no address to listen on", ErrConfig)
	case c.Processors < 0:
		return c, fmt.Errorf("%w: %d processors", ErrConfig, c.Processors)
	case c.ReceiveBuffer < 0:
		return c, fmt.Errorf("%w: receive buffer of %d bytes", ErrConfig, c.ReceiveBuffer)
	case c.MaxDatagram < minDatagram || c.MaxDatagram > DefaultMaxDatagram:
		return c, fmt.Errorf("%w: datagrams of at most %d bytes: must be %d to %d", ErrConfig, c.MaxDatagram, minDatagram,
			DefaultMaxDatagram)
	}
	return c, nil
}

// Verdict is what the next stage says of what it was handed. The zero value is invalid.
type Verdict uint8

// The verdicts.
const (
	_        Verdict = iota
	Accepted         // taken; the batch belongs to the Sink from now on, which is to give it to Server.Settle
	Full             // no room now; the same may be offered again
	Unfit            // it will never be taken, however often it is offered
)

// Sink takes a batch of validated records, or readings. It is called by several goroutines at once and should not block: where it
// has no room, Full says so, it is counted in records, packets and bytes and the sensor is told to wait, while a Sink that
// waits lets the socket's receive buffer run over, where only datagrams are counted. Unfit is counted likewise, and the
// sensor told to give that batch up: sent again for ever it would hold up what comes behind it. With Accepted the batch is the
// Sink's, until Server.Settle; with any other verdict it must not be touched again.
type Sink func(*flow.Batch) Verdict
