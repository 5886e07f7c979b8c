package sensor

import (
	"context"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/export"
	"flowsensor/internal/flow"
)

// phase is the part of its life that a sensor reports from.
type phase uint64

const (
	living phase = iota
	ended        // the last report: nothing is in hand any more, and the tables are empty
)

// reporting sends the ledger to the collector every so often, until ctx ends.
func (s *Service) reporting(ctx context.Context) {
	tick := time.NewTicker(s.config.Export.ReportInterval.D())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.pipeline.sender.Report(s.readings(living))
		}
	}
}

// awaitSettled waits a while until nothing is pending; the sender must run.
func (s *Service) awaitSettled(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.pipeline.sender.Stats().Pending != (export.Amount{}) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// readings are the meters of the whole sensor and of each interface. What they count, they count since the sensor started:
//
//	received + gso_extra = accounted + refused + ring_dropped + ring_discarded + in_hand
//	accounted = exported + what the tables hold
//	exported packets of all interfaces + recovered_packets = settled_packets + dropped_packets + pending_packets
func (s *Service) readings(p phase) []flow.Reading {
	all := s.deliveryReadings(p)
	for _, tap := range s.pipeline.taps {
		all = append(all, s.interfaceReadings(tap)...)
	}
	return all
}

// meters are one subject's, with what they are filled from.
type meters flow.Meters

func (m meters) readings(subject string) []flow.Reading { return flow.Meters(m).Readings(subject) }

func (s *Service) interfaceReadings(tap *capture.Tap) []flow.Reading {
	// The workers first: what they count was received before.
	name := tap.Stats().Interface
	l := s.ledgerOf(name)
	t := tap.Stats()
	m := meters{
		"received": t.Received, "ring_dropped": t.Dropped, "ring_discarded": t.Discarded, "ring_freezes": t.Freezes,
		"gso_extra": l.Packets.GSOExtra, "accounted": l.Packets.Accounted, "accounted_bytes": l.Bytes.Accounted,
		"exported": l.Packets.Exported, "exported_bytes": l.Bytes.Exported, "refused": l.Packets.RefusedTotal(),
		"refused_bytes": l.Bytes.RefusedTotal(), "flows": l.Flows, "records": l.Records, "sample": uint64(t.Sample),
		"reopened": t.Reopened, "down_us": uint64(t.Down.Microseconds()),
	}
	m["in_hand"] = t.Received + m["gso_extra"] - m["accounted"] - m["refused"] - t.Dropped - t.Discarded
	m["up"] = 0
	if t.Up() {
		m["up"] = 1
	}
	for reason, n := range l.Packets.Refused {
		m["refused_"+reason] = n
	}
	for note, n := range l.Notes {
		m["noted_"+note] = n
	}
	for result, n := range l.DNS {
		m["dns_"+result] = n
	}
	return m.readings(name)
}

func (s *Service) deliveryReadings(p phase) []flow.Reading {
	x := s.pipeline.sender.Stats()
	settled := x.Acked
	if s.config.Export.Delivery == export.FireAndForget {
		settled = x.Sent
	}
	m := meters{
		"resends": x.Resends, "datagrams": x.Datagrams, "octets": x.Octets, "spool_batches": uint64(x.SpoolBatches),
		"spool_bytes": uint64(x.SpoolBytes), "reports_skipped": x.ReportsSkipped, "last": uint64(p),
	}
	m.amount("added", x.Added)
	m.amount("recovered", x.Recovered)
	m.amount("settled", settled)
	m.amount("pending", x.Pending)
	m.amount("dropped", x.DroppedTotal())
	for reason, amount := range x.Dropped {
		if amount != (export.Amount{}) {
			m.amount("dropped_"+export.Reason(reason).String(), amount)
		}
	}
	m["clock_offset_us"] = uint64(x.ClockOffset.Microseconds())
	if boot, orderly := s.pipeline.sender.Previous(); boot != 0 {
		m["previous_boot"], m["previous_unclean"] = boot, 1
		if orderly {
			m["previous_unclean"] = 0
		}
	}
	return m.readings("")
}

func (m meters) amount(name string, a export.Amount) {
	m[name+"_records"], m[name+"_packets"], m[name+"_bytes"] = a.Records, a.Packets, a.Bytes
	if a.Answers > 0 {
		m[name+"_dns_answers"] = a.Answers
	}
}
