package sensor

import (
	"encoding/json"
	"io"
)

// Ledger is the account of every packet and byte, in the terms of the manual: what was read, and what merged frames stand
// for beyond that, equals what was accounted plus what was refused by reason, and what was accounted equals what left in
// records plus what the table holds. Bytes are IP lengths; a refused frame counts with its length on the wire.
type Ledger struct {
	// Live only: Received is the ring's own count after the kernel filter, Dropped what it lost for want of room, and Discarded
	// what an end left unread in it.
	Received  uint64 `json:"received,omitempty"`
	Dropped   uint64 `json:"ring_dropped,omitempty"`
	Discarded uint64 `json:"ring_discarded,omitempty"`

	Packets Balance `json:"packets"`
	Bytes   Balance `json:"bytes"`

	Records uint64            `json:"records"`         // that left the tables
	Flows   uint64            `json:"flows"`           // still in the tables
	Ended   map[string]uint64 `json:"ended,omitempty"` // records by end reason
	// Notes are what was noteworthy of accounted packets, and of the frames of capture files: time_clamped, untimed and
	// overlong are those of pcapfile.Stats.
	Notes map[string]uint64 `json:"notes,omitempty"`
	// DNS is what became of the messages from DNS servers: ok are those that gave an answer, failure_limited of these were not
	// told of, and chain_cut, addresses_cut and ttl are notes on them; the others gave none, by reason.
	DNS map[string]uint64 `json:"dns,omitempty"`
}

// Balance is one unit's side of the ledger.
type Balance struct {
	Read uint64 `json:"read"`
	// GSOExtra is what merged frames stand for beyond the one that was read, as far as they were accounted. Bytes have none:
	// what is read of a merged frame is already what was on the wire.
	GSOExtra  uint64            `json:"gso_extra,omitempty"`
	Accounted uint64            `json:"accounted"`
	Exported  uint64            `json:"exported"` // of what was accounted: in records
	Refused   map[string]uint64 `json:"refused"`
}

func newLedger() *Ledger {
	return &Ledger{
		Packets: Balance{Refused: make(map[string]uint64)}, Bytes: Balance{Refused: make(map[string]uint64)},
		Ended: make(map[string]uint64), Notes: make(map[string]uint64), DNS: make(map[string]uint64),
	}
}

func (l *Ledger) refuse(reason string, packets, bytes uint64) {
	if packets > 0 {
		l.Packets.Refused[reason] += packets
		l.Bytes.Refused[reason] += bytes
	}
}

func (l *Ledger) note(name string, count uint64) {
	if count > 0 {
		l.Notes[name] += count
	}
}

func (l *Ledger) dns(what string, count uint64) {
	if count > 0 {
		l.DNS[what] += count
	}
}

// RefusedTotal sums over the reasons.
func (b *Balance) RefusedTotal() uint64 {
	var sum uint64
	for _, n := range b.Refused {
		sum += n
	}
	return sum
}

// Balanced reports whether everything that was read, merged frames as the packets they were, is accounted or refused.
func (b *Balance) Balanced() bool { return b.Read+b.GSOExtra == b.Accounted+b.RefusedTotal() }

// Balanced reports whether all sums agree. They do whenever the meters are at rest; while packets flow, the counters are not read
// at one instant.
func (l *Ledger) Balanced() bool {
	return l.Packets.Balanced() && l.Bytes.Balanced() &&
		(l.Flows > 0 || l.Packets.Accounted == l.Packets.Exported && l.Bytes.Accounted == l.Bytes.Exported)
}

// Write prints the ledger as JSON.
func (l *Ledger) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(l)
}
