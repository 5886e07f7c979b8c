package flowtable_test

import (
	"math"
	"math/big"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
)

// reference is the flow table as one would write it down: a map, exact arithmetic, and every rule in its plain form. It
// has no bound and no sweep.
type reference struct {
	cfg     flowtable.Config
	flows   map[flow.Key]*held
	records []flow.Record
	created uint64
	back    uint64 // packets earlier than their flow's last one
}

// held is one flow: its record so far, and what outlives a record.
type held struct {
	record   flow.Record
	seen     int64
	fin, rst bool
}

func newReference(cfg flowtable.Config) *reference {
	return &reference{cfg: cfg, flows: map[flow.Key]*held{}}
}

// passed reports whether wait has passed from one time to another; a span below zero counts as zero.
func passed(from, to int64, wait time.Duration) bool {
	span := new(big.Int).Sub(big.NewInt(to), big.NewInt(from))
	if span.Sign() < 0 {
		span.SetInt64(0)
	}
	return span.Cmp(big.NewInt(int64(wait))) >= 0
}

func (h *held) lingers() bool { return h.fin || h.rst }

func (r *reference) emit(h *held, reason flow.EndReason) {
	if h.record.Packets == 0 {
		return
	}
	h.record.EndReason = reason
	r.records = append(r.records, h.record)
	h.record = flow.Record{Key: h.record.Key, Handshake: h.record.Handshake}
}

func (r *reference) end(h *held, reason flow.EndReason) {
	switch {
	case h.rst:
		reason = flow.EndRST
	case h.fin:
		reason = flow.EndFIN
	}
	r.emit(h, reason)
	delete(r.flows, h.record.Key)
}

// age applies the timers to a flow at the time of its next packet, or of the sweep where there is none. A packet also ends
// a lingering flow by opening a connection, and a lingering flow's record by its age.
func (r *reference) age(h *held, at int64, packet *flow.Packet) {
	opens := packet != nil && packet.TCPFlags&(flow.SYN|flow.ACK) == flow.SYN
	old := h.record.Packets > 0 && passed(h.record.First, at, r.cfg.Active)
	switch {
	case h.lingers():
		switch {
		case opens || at >= h.seen && passed(h.seen, at, r.cfg.Linger):
			r.end(h, 0)
		case old && packet != nil:
			r.emit(h, flow.EndActive)
		}
	case passed(h.seen, at, r.cfg.Inactive):
		dueActive := new(big.Int).Add(big.NewInt(h.record.First), big.NewInt(int64(r.cfg.Active)))
		dueIdle := new(big.Int).Add(big.NewInt(h.seen), big.NewInt(int64(r.cfg.Inactive)))
		if old && dueActive.Cmp(dueIdle) <= 0 {
			r.emit(h, flow.EndActive)
		}
		r.end(h, flow.EndIdle)
	case old:
		r.emit(h, flow.EndActive)
	}
}

func (r *reference) account(p *flow.Packet, now int64) {
	h := r.flows[p.Key]
	if h != nil {
		if p.Time < h.seen {
			r.back++
		}
		r.age(h, p.Time, p)
		h = r.flows[p.Key]
	}
	if h == nil {
		h = &held{record: flow.Record{Key: p.Key}}
		r.flows[p.Key] = h
		r.created++
	}
	rec := &h.record
	if rec.Packets == 0 {
		rec.First, rec.Last, h.seen = p.Time, p.Time, p.Time
		rec.VLAN, rec.VLANInner = p.VLAN, p.VLANInner
	}
	rec.First, rec.Last = min(rec.First, p.Time), max(rec.Last, p.Time)
	horizon := max(r.cfg.Active, r.cfg.Inactive, r.cfg.Linger)
	if p.Time > h.seen || max(p.Time, now) < h.seen && passed(max(p.Time, now), h.seen, horizon+1) {
		h.seen = p.Time
	}
	rec.Packets += uint64(p.Packets)
	rec.Bytes += p.Bytes
	rec.TCPFlags |= p.TCPFlags
	rec.Handshake |= flow.HandshakeOf(p.TCPFlags)
	if rec.Packets >= 1<<46 || rec.Bytes >= 1<<54 {
		defer r.emit(h, flow.EndActive)
	}
	h.fin = h.fin || p.TCPFlags&flow.FIN != 0
	h.rst = h.rst || p.TCPFlags&flow.RST != 0
}

func (r *reference) expire(now int64) {
	for _, h := range r.flows {
		r.age(h, now, nil)
	}
}

func (r *reference) flush(reason flow.EndReason) {
	for _, h := range r.flows {
		r.emit(h, reason)
	}
	clear(r.flows)
}

// latest is the latest time of a packet that decides when a held flow ages.
func (r *reference) latest() int64 {
	latest := int64(math.MinInt64)
	for _, h := range r.flows {
		latest = max(latest, h.seen)
	}
	return latest
}
