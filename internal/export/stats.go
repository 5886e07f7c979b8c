package export

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// Reason says why records were dropped. The String form is a metric label.
type Reason uint8

// The reasons, each a line of the ledger.
const (
	QueueFull       Reason = iota // the sender did not keep up: the worker dropped a whole batch
	Shutdown                      // still here when Drain's deadline passed, and not in the spool
	SendError                     // the kernel refused the datagram for good
	MessageSize                   // the path takes no datagram with even one record
	SealError                     // the datagram could not be sealed
	InvalidRecord                 // flow.Record.Validate refuses the record: the collector would refuse the datagram
	RefusedParse                  // the collector cannot parse the batch, and never will
	RefusedValidate               // the collector finds a record in the batch that no sensor makes
	RefusedVersion                // the collector does not speak our version
	SpoolFull                     // the oldest batch, to make room in the spool
	SpoolDamaged                  // the batch cannot be read from the spool any more
	// Reasons is how many there are.
	Reasons
)

var reasonNames = [Reasons]string{
	"queue_full", "shutdown", "send_error", "message_size", "seal_error", "invalid_record", "refused_parse", "refused_validate",
	"refused_version", "spool_full", "spool_damaged",
}

func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Amount is what a line of the ledger counts: records, and the packets and bytes in them; and DNS answers, which go the same
// way.
type Amount struct {
	Records, Packets, Bytes uint64
	Answers                 uint64
}

// Plus gives the sum of two amounts.
func (a Amount) Plus(b Amount) Amount {
	return Amount{a.Records + b.Records, a.Packets + b.Packets, a.Bytes + b.Bytes, a.Answers + b.Answers}
}

// Minus gives the difference of two amounts; b must be part of a.
func (a Amount) Minus(b Amount) Amount {
	return Amount{a.Records - b.Records, a.Packets - b.Packets, a.Bytes - b.Bytes, a.Answers - b.Answers}
}

// Endpoints are the two ends of the sender's socket.
type Endpoints struct {
	Local, Remote netip.AddrPort
}

// Stats is a copy of the sender's counters. All of them only grow, unless the comment says otherwise.
type Stats struct {
	Added   Amount          // taken by Batchers; a Batcher publishes when it hands over and at every Flush
	Sent    Amount          // in datagrams the kernel took, each batch once
	Dropped [Reasons]Amount // by reason
	Pending Amount          // now: added or recovered, not settled and not dropped yet, on disk or in memory

	// Acknowledged delivery alone, where a batch is settled by its acknowledgement; with FireAndForget it is by being sent.
	Recovered Amount // found in the spool at start
	Acked     Amount // durable at the collector

	InFlight     int                   // now: batches sent and not acknowledged
	Waiting      int                   // now: batches in memory that were never sent
	Backlog      int                   // now: batches that come from the spool
	SpoolBatches int                   // now: batches in the spool, also those that are in memory too
	SpoolBytes   int64                 // now: their share of the spool's file
	SpoolFails   uint64                // transactions on the spool that failed
	Rate         int                   // now: batches a second
	Held         bool                  // now: sending is held back by a refusal or an error
	ClockOffset  time.Duration         // now: our clock minus the collector's while it is refused for that, else 0
	Resends      uint64                // batches sent again
	Full         uint64                // times the collector said that it has no room
	Probes       uint64                // sent
	Answers      uint64                // heeded
	AnswersUnfit [AnswerReasons]uint64 // not heeded, by reason
	Failovers    uint64                // times another collector was looked for because this one was silent

	Reports        uint64 // batches of readings made
	ReportsSkipped uint64 // reports that found the sender too busy; the next one says all that they said

	Datagrams uint64 // sent
	Octets    uint64 // UDP payload of those datagrams

	Refused      uint64 // ICMP port unreachable came back (ECONNREFUSED); the datagram in hand was sent after it
	TooBig       uint64 // EMSGSIZE: the datagram was made anew, smaller
	Congested    uint64 // times the sender had to wait for the kernel (EAGAIN, ENOBUFS)
	SendErrors   uint64 // every other error of a send, also where the next try went through
	Moves        uint64 // times the socket was replaced because the collector's or our address changed
	ResolveFails uint64 // failed look-ups of the collector's name

	QueueDepth    int // now: batches waiting for the sender
	QueueCapacity int // batches
	MaxDatagram   int // now: octets of UDP payload, after the path's limit
	SendBuffer    int // octets, as the kernel reports it (twice what it granted, socket(7))

	Turns      uint64        // of the sender's loop: while Run is at work it moves every few seconds, also when idle
	StateFails uint64        // failed writes of the state file
	StampLead  time.Duration // now: how far point times run ahead of the clock, 0 while they do not

	Endpoints        // now
	LastError string // the newest error's text, "" when there was none
}

// DroppedTotal sums what was dropped over the reasons.
func (s *Stats) DroppedTotal() Amount {
	var sum Amount
	for _, d := range s.Dropped {
		sum = sum.Plus(d)
	}
	return sum
}

// tally is an Amount that one or several goroutines add to while others read.
type tally struct {
	records, packets, bytes, answers atomic.Uint64
}

func (t *tally) add(a Amount) {
	t.records.Add(a.Records)
	t.packets.Add(a.Packets)
	t.bytes.Add(a.Bytes)
	t.answers.Add(a.Answers)
}

// store publishes the owner's running total.
func (t *tally) store(a Amount) {
	t.records.Store(a.Records)
	t.packets.Store(a.Packets)
	t.bytes.Store(a.Bytes)
	t.answers.Store(a.Answers)
}

func (t *tally) load() Amount {
	return Amount{t.records.Load(), t.packets.Load(), t.bytes.Load(), t.answers.Load()}
}

// counters are written by the sender's goroutine (dropped also by the workers) and read by Stats.
type counters struct {
	sent    tally
	dropped [Reasons]tally

	datagrams, octets                      atomic.Uint64
	reports, reportsSkipped                atomic.Uint64
	refused, tooBig, congested, sendErrors atomic.Uint64
	moves, resolveFails, turns             atomic.Uint64

	acked, recovered               tally
	resends, full, probes, answers atomic.Uint64
	spoolFails, failovers          atomic.Uint64
	answersRefused                 [AnswerReasons]atomic.Uint64

	inFlight, waiting, backlog, rate      atomic.Int64
	spoolBatches, spoolBytes, clockOffset atomic.Int64
	held                                  atomic.Bool

	maxDatagram, sendBuffer atomic.Int64
	stampLead               atomic.Int64
	lastError               atomic.Pointer[string]
}

func (c *counters) fail(err error) {
	text := err.Error()
	c.lastError.Store(&text)
}

// Stats gives the counters as they stand. Safe for any goroutine.
func (s *Sender) Stats() Stats {
	c := &s.counters
	out := Stats{
		Acked: c.acked.load(), Recovered: c.recovered.load(),
		InFlight: int(c.inFlight.Load()), Waiting: int(c.waiting.Load()), Backlog: int(c.backlog.Load()),
		SpoolBatches: int(c.spoolBatches.Load()), SpoolBytes: c.spoolBytes.Load(), SpoolFails: c.spoolFails.Load(),
		Rate: int(c.rate.Load()), Held: c.held.Load(), ClockOffset: time.Duration(c.clockOffset.Load()),
		Resends: c.resends.Load(), Full: c.full.Load(), Probes: c.probes.Load(), Answers: c.answers.Load(),
		Failovers: c.failovers.Load(),

		Sent:    c.sent.load(),
		Reports: c.reports.Load(), ReportsSkipped: c.reportsSkipped.Load(),
		Datagrams: c.datagrams.Load(), Octets: c.octets.Load(),
		Refused: c.refused.Load(), TooBig: c.tooBig.Load(), Congested: c.congested.Load(), SendErrors: c.sendErrors.Load(),
		Moves: c.moves.Load(), ResolveFails: c.resolveFails.Load(),
		QueueDepth: len(s.queue.full), QueueCapacity: cap(s.queue.full),
		MaxDatagram: int(c.maxDatagram.Load()), SendBuffer: int(c.sendBuffer.Load()),
		Turns: c.turns.Load(), StateFails: s.packer.stamps.fails(), StampLead: time.Duration(c.stampLead.Load()),
		Endpoints: s.endpoints(),
	}
	for i := range out.Dropped {
		out.Dropped[i] = c.dropped[i].load()
	}
	for i := range out.AnswersUnfit {
		out.AnswersUnfit[i] = c.answersRefused[i].Load()
	}
	if text := c.lastError.Load(); text != nil {
		out.LastError = *text
	}
	// Added last: it is published before a record can be sent or dropped, so Pending never wraps below zero.
	out.Added = s.queue.added()
	settled := out.Sent
	if s.cfg.Delivery == Acknowledged {
		settled = out.Acked
	}
	out.Pending = out.Added.Plus(out.Recovered).Minus(settled).Minus(out.DroppedTotal())
	return out
}
