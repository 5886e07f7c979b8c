package sensor

import (
	"slices"

	"flowsensor/internal/export"
	"flowsensor/internal/metrics"
)

// Metrics lists the sensor's metrics, for the manual and for tests.
func Metrics() []metrics.Def { return slices.Clone(metricDefs) }

// metricDefs are the sensor's metrics; readMetrics puts every one of them.
var metricDefs = []metrics.Def{
	{Name: "received_packets_total", Help: "Packets the ring received after the kernel filter, those it dropped included.", Labels: []string{"iface"}},
	{Name: "ring_dropped_packets_total", Help: "Packets the ring had no room for.", Labels: []string{"iface"}},
	{Name: "ring_discarded_packets_total", Help: "Packets left unread in a ring at its end.", Labels: []string{"iface"}},
	{Name: "ring_freezes_total", Help: "Times a ring ran full.", Labels: []string{"iface"}},
	{Name: "ring_count_errors_total", Help: "Times the kernel would not say what a ring received and dropped.", Labels: []string{"iface"}},
	{Name: "interface_lost_packets_total", Help: "Packets that the interface lost before a ring could count them, since it was made, by the kernel's counter.", Labels: []string{"iface", "counter"}},
	{Name: "capture_up", Help: "Whether the interface is captured on: it is there, set up, and has a signal.", Labels: []string{"iface"}},
	{Name: "capture_sample", Help: "One packet in so many is captured; 1 is all.", Labels: []string{"iface"}},
	{Name: "capture_reopened_total", Help: "Times the rings were opened anew because the interface was made anew.", Labels: []string{"iface"}},
	{Name: "capture_down_seconds_total", Help: "Time without a capture: the interface was down, without a signal, gone, or not yet open again.", Labels: []string{"iface"}},
	{Name: "read_packets_total", Help: "Packets read from the rings, merged ones as one."},
	{Name: "read_bytes_total", Help: "Bytes read: IP lengths, for refused frames their length on the wire."},
	{Name: "gso_extra_packets_total", Help: "Packets that merged frames stand for beyond the one read."},
	{Name: "accounted_packets_total", Help: "Packets accounted in flows."},
	{Name: "accounted_bytes_total", Help: "IP bytes accounted in flows."},
	{Name: "refused_packets_total", Help: "Packets not accounted, by reason.", Labels: []string{"reason"}},
	{Name: "refused_bytes_total", Help: "Bytes on the wire of packets not accounted, by reason.", Labels: []string{"reason"}},
	{Name: "noted_packets_total", Help: "Accounted packets that were noteworthy, by note.", Labels: []string{"note"}},
	{Name: "fanout_watched_flows_total", Help: "Flows watched for meeting several workers: one in 1024, fragments left out, where an interface has several."},
	{Name: "fanout_split_flows_total", Help: "Watched flows that met more than one worker: they are in more records, which add up."},
	{Name: "dns_messages_total", Help: "Messages from DNS servers by what became of them, and notes on their answers.", Labels: []string{"result"}},
	{Name: "flows", Help: "Flows in the tables."},
	{Name: "records_total", Help: "Records exported from the tables, by end reason.", Labels: []string{"reason"}},
	{Name: "sent_records_total", Help: "Records in datagrams that the kernel took, each once."},
	{Name: "sent_packets_total", Help: "Packets in the records sent."},
	{Name: "sent_bytes_total", Help: "IP bytes in the records sent."},
	{Name: "sent_datagrams_total", Help: "Datagrams sent to the collector."},
	{Name: "sent_octets_total", Help: "UDP payload sent to the collector."},
	{Name: "sent_dns_answers_total", Help: "DNS answers in datagrams that the kernel took, each once."},
	{Name: "dropped_dns_answers_total", Help: "DNS answers given up, by reason.", Labels: []string{"reason"}},
	{Name: "acked_dns_answers_total", Help: "DNS answers that the collector says are durable."},
	{Name: "pending_dns_answers", Help: "DNS answers that are kept: neither settled nor dropped."},
	{Name: "dropped_records_total", Help: "Records given up, by reason.", Labels: []string{"reason"}},
	{Name: "dropped_packets_total", Help: "Packets in the records given up, by reason.", Labels: []string{"reason"}},
	{Name: "dropped_bytes_total", Help: "IP bytes in the records given up, by reason.", Labels: []string{"reason"}},
	{Name: "acked_records_total", Help: "Records that the collector says are durable; none with fire-and-forget."},
	{Name: "acked_packets_total", Help: "Packets in records that the collector says are durable."},
	{Name: "acked_bytes_total", Help: "IP bytes in records that the collector says are durable."},
	{Name: "recovered_records_total", Help: "Records found in the spool at start."},
	{Name: "pending_records", Help: "Records that are kept: neither settled nor dropped, in memory or in the spool."},
	{Name: "unacknowledged_batches", Help: "Batches sent and not acknowledged."},
	{Name: "waiting_batches", Help: "Batches in memory that were never sent."},
	{Name: "backlog_batches", Help: "Batches in the spool alone, to be sent beside live ones."},
	{Name: "spool_batches", Help: "Batches in the spool, also those that are in memory too."},
	{Name: "spool_bytes", Help: "Octets that the spool's batches take in its file."},
	{Name: "spool_failures_total", Help: "Transactions on the spool that failed."},
	{Name: "report_batches_total", Help: "Batches of readings made: the sensor's ledger on its way to the collector."},
	{Name: "reports_skipped_total", Help: "Reports that found the sender too busy; the next one says all that they said."},
	{Name: "resent_batches_total", Help: "Batches sent again."},
	{Name: "export_pace_batches", Help: "Batches a second that may be sent."},
	{Name: "export_held", Help: "Whether sending is held back by a refusal or an error."},
	{Name: "export_clock_offset_seconds", Help: "The sensor's clock minus the collector's while it is refused for that."},
	{Name: "export_answers_total", Help: "Answers of the collector that were heeded."},
	{Name: "export_answers_refused_total", Help: "Datagrams that came back and were not heeded, by reason.", Labels: []string{"reason"}},
	{Name: "export_failovers_total", Help: "Times a silent collector was left for the next."},
	{Name: "export_queue", Help: "Groups of records that wait for the sender."},
	{Name: "export_queue_capacity", Help: "Groups of records that may wait for the sender."},
	{Name: "export_refused_total", Help: "Datagrams answered by port unreachable: no collector listens there."},
	{Name: "routes", Help: "Routes of the kernel's main table that are held. The metrics of routes are there where an interface is routed."},
	{Name: "route_updates_total", Help: "Changes of routes that the kernel told of."},
	{Name: "route_readings_total", Help: "Times all routes were read, by reason.", Labels: []string{"reason"}},
	{Name: "route_overruns_total", Help: "Times the kernel dropped messages about routes."},
	{Name: "route_failures_total", Help: "Times the routes could not be read."},
	{Name: "routes_refused_total", Help: "Routes for which there was no room."},
	{Name: "export_send_errors_total", Help: "Failed sends, whether or not the next try went through."},
	{Name: "export_congested_total", Help: "Times the sender had to wait for the kernel to take a datagram."},
	{Name: "export_too_big_total", Help: "Datagrams made anew, shorter, because the path takes no longer ones."},
	{Name: "export_max_datagram_bytes", Help: "Longest UDP payload that is sent now: max_datagram, or what the path takes."},
	{Name: "export_moves_total", Help: "Times the socket was replaced because the collector's or the sensor's address changed."},
	{Name: "export_resolve_failures_total", Help: "Failed look-ups of the collector's name."},
	{Name: "export_stamp_lead_seconds", Help: "How far point times run ahead of the clock: it is behind that of an earlier run."},
	{Name: "state_failures_total", Help: "Failed writes of the state file."},
}

// readMetrics reads every metric; any goroutine may call it.
func (s *Service) readMetrics(put metrics.Put) {
	for _, tap := range s.pipeline.taps {
		t := tap.Stats()
		up := 0.0
		if t.Up() {
			up = 1
		}
		put("received_packets_total", float64(t.Received), t.Interface)
		put("ring_dropped_packets_total", float64(t.Dropped), t.Interface)
		put("ring_discarded_packets_total", float64(t.Discarded), t.Interface)
		put("ring_freezes_total", float64(t.Freezes), t.Interface)
		put("ring_count_errors_total", float64(t.CountErrors), t.Interface)
		put("capture_up", up, t.Interface)
		put("capture_sample", float64(t.Sample), t.Interface)
		put("capture_reopened_total", float64(t.Reopened), t.Interface)
		put("capture_down_seconds_total", t.Down.Seconds(), t.Interface)
		if n, err := tap.Counters(); err == nil { // else it is gone, as capture_up says
			put("interface_lost_packets_total", float64(n.RxErrors), t.Interface, "rx_errors")
			put("interface_lost_packets_total", float64(n.RxDropped), t.Interface, "rx_dropped")
			put("interface_lost_packets_total", float64(n.RxMissed), t.Interface, "rx_missed_errors")
			put("interface_lost_packets_total", float64(n.RxFIFO), t.Interface, "rx_fifo_errors")
		}
	}
	l := s.Ledger()
	put("read_packets_total", float64(l.Packets.Read))
	put("read_bytes_total", float64(l.Bytes.Read))
	put("gso_extra_packets_total", float64(l.Packets.GSOExtra))
	put("accounted_packets_total", float64(l.Packets.Accounted))
	put("accounted_bytes_total", float64(l.Bytes.Accounted))
	for reason, n := range l.Packets.Refused {
		put("refused_packets_total", float64(n), reason)
		put("refused_bytes_total", float64(l.Bytes.Refused[reason]), reason)
	}
	for note, n := range l.Notes {
		put("noted_packets_total", float64(n), note)
	}
	put("fanout_watched_flows_total", float64(s.pipeline.split.watched.Load()))
	put("fanout_split_flows_total", float64(s.pipeline.split.split.Load()))
	for result, n := range l.DNS {
		put("dns_messages_total", float64(n), result)
	}
	put("flows", float64(l.Flows))
	for reason, n := range l.Ended {
		put("records_total", float64(n), reason)
	}
	if s.pipeline.routes != nil {
		readRoutes(s.pipeline.routes.Stats(), put)
	}
	readExport(s.pipeline.sender.Stats(), put)
}

func readExport(x export.Stats, put metrics.Put) {
	put("sent_records_total", float64(x.Sent.Records))
	put("sent_packets_total", float64(x.Sent.Packets))
	put("sent_bytes_total", float64(x.Sent.Bytes))
	put("sent_datagrams_total", float64(x.Datagrams))
	put("sent_octets_total", float64(x.Octets))
	for reason, amount := range x.Dropped {
		name := export.Reason(reason).String()
		put("dropped_records_total", float64(amount.Records), name)
		put("dropped_packets_total", float64(amount.Packets), name)
		put("dropped_bytes_total", float64(amount.Bytes), name)
		put("dropped_dns_answers_total", float64(amount.Answers), name)
	}
	put("sent_dns_answers_total", float64(x.Sent.Answers))
	put("acked_dns_answers_total", float64(x.Acked.Answers))
	put("pending_dns_answers", float64(x.Pending.Answers))
	put("acked_records_total", float64(x.Acked.Records))
	put("acked_packets_total", float64(x.Acked.Packets))
	put("acked_bytes_total", float64(x.Acked.Bytes))
	put("recovered_records_total", float64(x.Recovered.Records))
	put("unacknowledged_batches", float64(x.InFlight))
	put("waiting_batches", float64(x.Waiting))
	put("backlog_batches", float64(x.Backlog))
	put("spool_batches", float64(x.SpoolBatches))
	put("spool_bytes", float64(x.SpoolBytes))
	put("spool_failures_total", float64(x.SpoolFails))
	put("report_batches_total", float64(x.Reports))
	put("reports_skipped_total", float64(x.ReportsSkipped))
	put("resent_batches_total", float64(x.Resends))
	put("export_pace_batches", float64(x.Rate))
	held := 0.0
	if x.Held {
		held = 1
	}
	put("export_held", held)
	put("export_clock_offset_seconds", x.ClockOffset.Seconds())
	put("export_answers_total", float64(x.Answers))
	for reason, n := range x.AnswersUnfit {
		put("export_answers_refused_total", float64(n), export.AnswerReason(reason).String())
	}
	put("export_failovers_total", float64(x.Failovers))
	put("pending_records", float64(x.Pending.Records))
	put("export_queue", float64(x.QueueDepth))
	put("export_queue_capacity", float64(x.QueueCapacity))
	put("export_refused_total", float64(x.Refused))
	put("export_send_errors_total", float64(x.SendErrors))
	put("export_congested_total", float64(x.Congested))
	put("export_too_big_total", float64(x.TooBig))
	put("export_max_datagram_bytes", float64(x.MaxDatagram))
	put("export_moves_total", float64(x.Moves))
	put("export_resolve_failures_total", float64(x.ResolveFails))
	put("export_stamp_lead_seconds", x.StampLead.Seconds())
	put("state_failures_total", float64(x.StateFails))
}
