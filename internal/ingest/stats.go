package ingest

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"flowsensor/internal/flow"
)

// Stats is what happened since Listen. All counts are cumulative.
type Stats struct {
	// Outcomes counts datagrams by how they ended; the sum is the number of datagrams read.
	Outcomes  [Reasons]uint64
	Accepted  flow.Volume // handed over
	QueueFull flow.Volume // refused by the sink: lost where the sensor does not send again
	Unfit     flow.Volume // refused by the sink for good: the sensors drop it
	Durable   flow.Volume // of what was accepted: settled so, and acknowledged
	Lost      flow.Volume // of what was accepted: settled so
	Legacy    LegacyStats
	Answers   AnswerStats
	Sockets   []SocketStats
	Sensors   []SensorStats // all that are configured, by id
}

// AnswerStats is what was sent to the sensors.
type AnswerStats struct {
	Sent, Octets uint64
	Failed       uint64 // not taken by the socket
	Unfit        uint64 // not sent because they could not be made as short as what they answer
}

// SocketStats is what one socket did.
type SocketStats struct {
	Local netip.AddrPort
	// BufferAsked and BufferGot are the receive buffer in bytes, as asked for and as the kernel granted it.
	BufferAsked, BufferGot int
	Datagrams, Bytes       uint64
	// KernelDrops is how many datagrams the kernel dropped, nearly always because the receive buffer was full. It is told
	// with the next datagram that is received.
	KernelDrops uint64
	Unstamped   uint64 // came without the kernel's receive time and were judged by ours
	ReadErrors  uint64
	// Turns moves at least every second, also on a silent socket, as long as the goroutine lives.
	Turns uint64
}

// SensorStats is what came from one sensor, authenticated.
type SensorStats struct {
	ID string
	// Outcomes counts the sensor's datagrams by how they ended; reasons before authentication are zero.
	Outcomes  [Reasons]uint64
	Datagrams uint64 // the sum of Outcomes
	Octets    uint64 // of those datagrams
	Accepted  flow.Volume
	QueueFull flow.Volume
	Unfit     flow.Volume
	Durable   flow.Volume
	Lost      flow.Volume
	// Missing is how many datagrams were sent and did not arrive, by the gaps in tx that stand now: one that comes late
	// closes its gap.
	Missing uint64
	// Twins is how many came from a process that one begun later should have replaced long ago: two machines have one id.
	Twins    uint64
	LastSeen time.Time // receive time of the latest datagram that was in time; zero before the first
	// Offset is the sensor's clock minus ours at the latest datagram, also where it was refused for that.
	Offset time.Duration
	// KeyIndex is which of the sensor's keys opened the latest datagram that was in time, 0 the newest.
	KeyIndex int
	// Boot is the newest boot, 0 before the first.
	Boot uint64
}

// Stats gives a copy of all counters; it may be called from any goroutine.
func (s *Server) Stats() Stats {
	var st Stats
	for _, r := range s.readers {
		r.counters.addTo(&st)
		st.Sockets = append(st.Sockets, r.stats())
	}
	st.Durable, st.Lost = s.durable.Load(), s.lost.Load()
	st.Legacy = s.legacy.load(s.agents.Load())
	st.Answers = AnswerStats{
		Sent: s.answers.sent.Load(), Octets: s.answers.octets.Load(), Failed: s.answers.failed.Load(), Unfit: s.answers.unfit.Load(),
	}
	for _, sensor := range s.keys.Load().sensors {
		st.Sensors = append(st.Sensors, sensor.stats())
	}
	slices.SortFunc(st.Sensors, func(a, b SensorStats) int { return strings.Compare(a.ID, b.ID) })
	return st
}

// total is the number of datagrams that ended so.
func (s *Server) total(reason Reason) (n uint64) {
	for _, r := range s.readers {
		n += r.counters.outcomes[reason].Load()
	}
	return n
}

// counters are written by one goroutine and read by any.
type counters struct {
	outcomes                   [Reasons]atomic.Uint64
	accepted, queueFull, unfit flow.VolumeCounter
}

func (c *counters) addTo(st *Stats) {
	for i := range c.outcomes {
		st.Outcomes[i] += c.outcomes[i].Load()
	}
	st.Accepted.Add(c.accepted.Load())
	st.QueueFull.Add(c.queueFull.Load())
	st.Unfit.Add(c.unfit.Load())
}
