package collector

import (
	"context"
	"iter"
	"os"
	"strings"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/journal"
	"flowsensor/internal/seal"
	"flowsensor/internal/store"
)

// reporter puts the collector's own ledger into its journal, beside the batches of the sensors: it is written by whoever
// writes, and survives what they survive. It belongs to one goroutine at a time.
type reporter struct {
	name string // behind an '@', with which no sensor's id begins
	boot uint64
	seq  uint64
	base int64
}

func newReporter(c Config, now time.Time) *reporter {
	return &reporter{name: "@" + c.name(), boot: uint64(now.UnixNano())}
}

// name is the collector's: as configured, otherwise the host's made fit.
func (c *Config) name() string {
	if c.ID != "" {
		return c.ID
	}
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r > 'z' || seal.ValidID("a"+string(r)) != nil {
			return '-'
		}
		return r
	}, host)
	if len(host) > maxName {
		host = host[:maxName]
	}
	if seal.ValidID(host) != nil {
		return "collector"
	}
	return host
}

// maxName leaves room for the '@'.
const maxName = 62

// batch makes the next batch of readings.
func (r *reporter) batch(readings []flow.Reading, now time.Time) *flow.Batch {
	b := r.next(len(readings), now)
	b.Content, b.Readings = flow.CollectorReadings, readings
	return b
}

// answers makes the next batch of DNS answers.
func (r *reporter) answers(answers []flow.DNSAnswer, now time.Time) *flow.Batch {
	b := r.next(len(answers), now)
	b.Content, b.Answers = flow.DNSAnswers, answers
	return b
}

// next numbers a batch. Its points never repeat those of the one before, whatever the clock does.
func (r *reporter) next(points int, now time.Time) *flow.Batch {
	r.seq++
	r.base = max(now.UnixNano(), r.base)
	b := &flow.Batch{Sensor: r.name, Boot: r.boot, Seq: r.seq, Floor: r.seq, Base: r.base, Received: now.UnixNano()}
	r.base += int64(points)
	return b
}

// reporting reports every so often until ctx ends.
func (s *Service) reporting(ctx context.Context, r *reporter) {
	tick := time.NewTicker(s.config.ReportInterval.D())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.report(r, now)
		}
	}
}

// report appends the ledger to the journal. Where that has no room the report is left out: the next one says all it said.
func (s *Service) report(r *reporter, now time.Time) {
	for part := range parts(s.readings(), journal.MaxReadings) {
		if err := s.pipeline.appender.Append(r.batch(part, now)); err != nil {
			s.reportsSkipped.Add(1)
			return
		}
	}
}

// parts divides readings so that each part is one batch's; what is said of one subject stays together, for it is one point.
func parts(readings []flow.Reading, most int) iter.Seq[[]flow.Reading] {
	return func(yield func([]flow.Reading) bool) {
		n := 0 // of the readings in front, that go together
		for group := range flow.Groups(readings) {
			if n > 0 && n+len(group) > most {
				if !yield(readings[:n:n]) {
					return
				}
				readings, n = readings[n:], 0
			}
			n += len(group)
		}
		if n > 0 {
			yield(readings)
		}
	}
}

// readings are the meters of the collector and, from what they sent, of each sensor. What they count, they count since the
// collector started:
//
//	datagrams = accepted + legacy + refused; probes are among those accepted
//	accepted_records = durable_records + lost_records + what is on its way into the journal
//	read_records = written_records + withheld_records + dead_lettered_records + left_records + what is being written
func (s *Service) readings() []flow.Reading {
	p := s.pipeline
	m := meters{"reports_skipped": s.reportsSkipped.Load()}
	m.journal(p.journal.Stats(), p.appender.Stats())
	if p.pool != nil {
		m.store(p.reader.Stats(), p.pool.Stats())
	}
	if p.server == nil {
		return m.readings("")
	}
	st := p.server.Stats()
	m.outcomes(&st.Outcomes)
	m.volume("accepted", st.Accepted)
	m.volume("durable", st.Durable)
	m.volume("lost", st.Lost)
	m.volume("queue_full", st.QueueFull)
	m.unfit("unfit", st.Unfit)
	if len(st.Legacy.Agents) > 0 {
		m.volume("legacy_accepted", st.Legacy.Accepted)
		m.volume("legacy_durable", st.Legacy.Durable)
		m.volume("legacy_lost", st.Legacy.Lost)
		m.volume("legacy_queue_full", st.Legacy.QueueFull)
		m.unfit("legacy_unfit", st.Legacy.Unfit)
	}
	for _, sock := range st.Sockets {
		m["kernel_drops"] += sock.KernelDrops
	}
	all := m.readings("")
	for i := range st.Sensors {
		all = append(all, sensorReadings(&st.Sensors[i])...)
	}
	return all
}

// sensorReadings are what the collector knows of one sensor; nothing of one that was never heard.
func sensorReadings(st *ingest.SensorStats) []flow.Reading {
	if st.Datagrams == 0 {
		return nil
	}
	m := meters{"octets": st.Octets, "missing_datagrams": st.Missing, "key": uint64(st.KeyIndex)}
	if !st.LastSeen.IsZero() {
		m["last_seen_us"] = uint64(st.LastSeen.UnixMicro())
	}
	m.outcomes(&st.Outcomes)
	m.volume("accepted", st.Accepted)
	m.volume("durable", st.Durable)
	m.volume("lost", st.Lost)
	m.volume("queue_full", st.QueueFull)
	m.unfit("unfit", st.Unfit)
	m["clock_offset_us"] = uint64(st.Offset.Microseconds())
	return m.readings(st.ID)
}

// meters are one subject's, with what they are filled from.
type meters flow.Meters

func (m meters) readings(subject string) []flow.Reading { return flow.Meters(m).Readings(subject) }

// outcomes are the datagrams by how they ended.
func (m meters) outcomes(all *[ingest.Reasons]uint64) {
	for outcome, n := range all {
		reason := ingest.Reason(outcome)
		m["datagrams"] += n
		switch {
		case reason == ingest.ReasonAccepted:
			m["accepted"] = n
		case reason == ingest.ReasonLegacy:
			m["legacy"] = n
		case n > 0:
			m["refused_"+reason.String()] = n
		}
	}
	m["refused"] = m["datagrams"] - m["accepted"] - m["legacy"]
}

func (m meters) volume(name string, v flow.Volume) {
	m[name+"_batches"], m[name+"_records"], m[name+"_packets"], m[name+"_bytes"] = v.Batches, v.Records, v.Packets, v.Bytes
}

// unfit is told where there is any: of a sensor as it should be there is none.
func (m meters) unfit(name string, v flow.Volume) {
	if v.Batches > 0 {
		m.volume(name, v)
	}
}

func (m meters) journal(st journal.Stats, in journal.AppendStats) {
	m["journal_messages"], m["journal_bytes"], m["journal_age_us"] = st.Messages, st.Bytes, uint64(st.Age.Microseconds())
	m["journal_published_batches"], m["journal_unknown_batches"] = in.Published, in.Unknown
}

func (m meters) store(in journal.ReadStats, out store.Stats) {
	m["read_records"], m["read_packets"], m["read_bytes"] = in.Submitted.Records, in.Submitted.Packets, in.Submitted.Bytes
	m["known_records"] = in.Duplicates.Records
	m.count("written", out.Written)
	m.count("withheld", out.Withheld)
	var dead, left store.Count
	for _, c := range out.DeadLettered {
		dead.Records, dead.Packets, dead.Bytes = dead.Records+c.Records, dead.Packets+c.Packets, dead.Bytes+c.Bytes
	}
	for _, c := range out.Dropped {
		left.Records, left.Packets, left.Bytes = left.Records+c.Records, left.Packets+c.Packets, left.Bytes+c.Bytes
	}
	m.count("dead_lettered", dead)
	m.count("left", left)
	m["store_retries"], m["store_failing_writers"] = out.Retries, uint64(out.Failing)
}

func (m meters) count(name string, c store.Count) {
	m[name+"_records"], m[name+"_packets"], m[name+"_bytes"] = c.Records, c.Packets, c.Bytes
}
