package capture

import (
	"fmt"
	"time"

	"flowsensor/internal/frame"
)

// RingStats are a ring's counts since the tap was opened, over all sockets it had. Once StopTraffic was called and Walk
// has said io.EOF, Received = Walked + Dropped + Discarded; before, the difference is what waits in the ring.
type RingStats struct {
	Received  uint64 // by the kernel's own count: what the filter let through, the dropped ones included
	Walked    uint64 // frames handed to visit
	Dropped   uint64 // the ring was full; few are what the kernel could not describe, see vnet.go
	Discarded uint64 // left in the ring by a Close without StopTraffic and Walk to the end
	Freezes   uint64 // how often the ring became full
	Losing    uint64 // blocks that the kernel closed while it was dropping
	// LinkErrors is how often the socket said that its link had failed: once each time the interface goes down or away.
	LinkErrors uint64
	// CountErrors is how often the kernel would not say its counts.
	CountErrors uint64
}

func (s RingStats) plus(o RingStats) RingStats {
	return RingStats{
		Received: s.Received + o.Received, Walked: s.Walked + o.Walked, Dropped: s.Dropped + o.Dropped,
		Discarded: s.Discarded + o.Discarded, Freezes: s.Freezes + o.Freezes, Losing: s.Losing + o.Losing,
		LinkErrors: s.LinkErrors + o.LinkErrors, CountErrors: s.CountErrors + o.CountErrors,
	}
}

// Stats is a tap's state and counts.
type Stats struct {
	RingStats             // of all rings together
	Rings     []RingStats // by worker
	Interface string
	IfIndex   uint32 // of the interface captured on, or last captured on
	LinkType  frame.LinkType
	Engine    Engine
	Sample    int // one packet in so many is received, of those that the filter takes
	Link      LinkState
	// Capturing says that every ring has a socket: the interface is there, though it may be down.
	Capturing bool
	// Reopened is how often the sockets were opened again because the interface had been replaced.
	Reopened uint64
	// Down is for how long the link was not up or no socket was bound to it; what passed then, no ring has received.
	Down time.Duration
	// Promiscuity is how many hold the interface promiscuous, as the kernel says.
	Promiscuity int
	Offloads    Offloads
	// Segments says that frames which were merged carry the size of their segments.
	Segments bool
}

// Stats gives the counts as of now, and the state as of the last look, at most a second ago.
func (t *Tap) Stats() Stats {
	s := t.state()
	for _, r := range t.rings {
		rs := r.stats()
		s.RingStats = s.plus(rs)
		s.Rings = append(s.Rings, rs)
	}
	return s
}

func (t *Tap) state() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Stats{
		Interface: t.cfg.Interface, IfIndex: uint32(t.dev.index), LinkType: t.link, Engine: t.cfg.Engine, Sample: t.cfg.Sample, Link: t.dev.state,
		Reopened: t.reopened, Down: t.down, Promiscuity: t.dev.promiscuity, Offloads: t.offloads, Capturing: t.attached, Segments: bool(t.vnet),
	}
	s.Down += t.blindLocked(t.now())
	return s
}

// Up reports whether frames can come in: every ring has a socket, and the link a signal.
func (s *Stats) Up() bool { return s.Capturing && s.Link == LinkUp }

// InterfaceCounters are the interface's own counts since it exists: a cross-check of what the rings received, and the
// place to see what was lost before a ring could count it. They belong to no sum, for they include what the filter drops,
// and count merged segments in a way that is the driver's.
type InterfaceCounters struct {
	RxPackets uint64
	RxErrors  uint64
	RxDropped uint64 // by the kernel or the driver, for want of buffers or of a receiver
	RxMissed  uint64 // by the card: the host was too slow
	RxFIFO    uint64 // overruns of the card's FIFO
}

// captured looks up the interface that is captured on: that of the name, or the one that had it and was renamed.
func (t *Tap) captured() (device, error) {
	t.mu.Lock()
	renamed, index := t.attached && t.renamed, t.dev.index
	t.mu.Unlock()
	if !renamed {
		return lookUp(t.handle, t.cfg.Interface)
	}
	link, err := t.handle.LinkByIndex(index)
	if err != nil {
		return device{}, fmt.Errorf("look up interface %d: %w", index, err)
	}
	return deviceOf(link.Attrs()), nil
}

// Counters reads the interface's counters now, as /sys/class/net/NAME/statistics has them.
func (t *Tap) Counters() (InterfaceCounters, error) {
	dev, err := t.captured()
	if err != nil {
		return InterfaceCounters{}, fmt.Errorf("counters of %s: %w", t.cfg.Interface, err)
	}
	s := dev.attrs.Statistics
	if s == nil {
		return InterfaceCounters{}, nil
	}
	return InterfaceCounters{
		RxPackets: s.RxPackets, RxErrors: s.RxErrors, RxDropped: s.RxDropped, RxMissed: s.RxMissedErrors, RxFIFO: s.RxFifoErrors,
	}, nil
}
