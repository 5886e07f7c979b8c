package collector

import (
	"slices"
	"strconv"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/journal"
	"flowsensor/internal/legacy"
	"flowsensor/internal/metrics"
	"flowsensor/internal/store"
	"flowsensor/internal/store/files"
	"flowsensor/internal/store/influx"
)

// Metrics lists the collector's metrics, for the manual and for tests.
func Metrics() []metrics.Def { return slices.Concat(metricDefs, rollupMetricDefs) }

// metricDefs are the collector's metrics; readMetrics puts every one of them, the writer's by the kind of store.
var metricDefs = []metrics.Def{
	{Name: "datagrams_total", Help: "Datagrams read, by how they ended: accepted or the reason of the refusal.", Labels: []string{"outcome"}},
	{Name: "accepted_records_total", Help: "Records of the batches that were handed over."},
	{Name: "accepted_packets_total", Help: "Packets in the records accepted."},
	{Name: "accepted_bytes_total", Help: "IP bytes in the records accepted."},
	{Name: "queue_full_records_total", Help: "Records of authentic batches refused because the journal had no room; the sensors keep them."},
	{Name: "queue_full_packets_total", Help: "Packets in records refused because the journal had no room; the sensors keep them."},
	{Name: "queue_full_bytes_total", Help: "IP bytes in records refused because the journal had no room; the sensors keep them."},
	{Name: "unfit_records_total", Help: "Records of authentic batches that fit no message of the journal; the sensors drop them."},
	{Name: "unfit_packets_total", Help: "Packets in records of batches that fit no message of the journal."},
	{Name: "unfit_bytes_total", Help: "IP bytes in records of batches that fit no message of the journal."},
	{Name: "durable_records_total", Help: "Records of the batches that are durable; they are acknowledged to the sensors."},
	{Name: "lost_records_total", Help: "Records of accepted batches that did not become durable; the sensors send them again."},
	{Name: "answers_total", Help: "Answers to sensors, by what became of them.", Labels: []string{"outcome"}},
	{Name: "socket_datagrams_total", Help: "Datagrams read, by socket.", Labels: []string{"socket", "address"}},
	{Name: "socket_kernel_drops_total", Help: "Datagrams the kernel dropped because the receive buffer was full.", Labels: []string{"socket", "address"}},
	{Name: "socket_receive_buffer_bytes", Help: "Receive buffer as the kernel granted it.", Labels: []string{"socket", "address"}},
	{Name: "sensor_datagrams_total", Help: "Authentic datagrams of a sensor, by how they ended.", Labels: []string{"sensor", "outcome"}},
	{Name: "sensor_records_total", Help: "Records accepted from a sensor.", Labels: []string{"sensor"}},
	{Name: "sensor_missing_datagrams", Help: "Datagrams the sensor sent that did not arrive, by the gaps that stand now.", Labels: []string{"sensor"}},
	{Name: "sensor_twin_datagrams_total", Help: "Datagrams from a process of the sensor that one begun later should have replaced over a minute ago: two machines have one id and key.", Labels: []string{"sensor"}},
	{Name: "sensor_clock_offset_seconds", Help: "The sensor's clock minus the collector's at its latest datagram, to half a second: the stamp is in seconds.", Labels: []string{"sensor"}},
	{Name: "sensor_last_seen_timestamp_seconds", Help: "Receive time of the sensor's latest datagram that was in time (ttl, skew); absent before the first.", Labels: []string{"sensor"}},
	{Name: "legacy_datagrams_total", Help: "Datagrams of legacy agents, by how they ended.", Labels: []string{"outcome"}},
	{Name: "legacy_records_total", Help: "Records of legacy agents: accepted, and of these durable or lost, or lost at once because the journal had no room or does not take such a batch.", Labels: []string{"outcome"}},
	{Name: "legacy_packets_total", Help: "Packets in the records of legacy agents, by their outcome.", Labels: []string{"outcome"}},
	{Name: "legacy_bytes_total", Help: "IP bytes in the records of legacy agents, by their outcome.", Labels: []string{"outcome"}},
	{Name: "legacy_agent_records_total", Help: "Records received from a legacy agent.", Labels: []string{"agent"}},
	{Name: "legacy_agent_last_seen_timestamp_seconds", Help: "Receive time of the agent's latest flow; absent before the first.", Labels: []string{"agent"}},
	{Name: "journal_up", Help: "1 while JetStream answers."},
	{Name: "journal_messages", Help: "Messages that wait in the journal."},
	{Name: "journal_bytes", Help: "Octets that wait in the journal."},
	{Name: "journal_max_bytes", Help: "Octets that the journal holds at most."},
	{Name: "journal_age_seconds", Help: "Age of the oldest message in the journal, 0 where there is none."},
	{Name: "journal_appended_records_total", Help: "Records taken for the journal."},
	{Name: "journal_published_batches_total", Help: "Batches that became durable in the journal."},
	{Name: "journal_unknown_batches_total", Help: "Batches given up at the end, which the journal may have or not."},
	{Name: "journal_published_messages_total", Help: "Messages that became durable."},
	{Name: "journal_published_bytes_total", Help: "Octets in the messages that became durable."},
	{Name: "journal_publish_failures_total", Help: "Tries to publish that were repeated."},
	{Name: "journal_publish_seconds_total", Help: "Time spent in publishing, syncing included."},
	{Name: "journal_pending_bytes", Help: "Octets taken that are not durable yet."},
	{Name: "journal_blocked_shards", Help: "Shards whose last message found no room."},
	{Name: "journal_read_messages_total", Help: "Messages read from the journal."},
	{Name: "journal_redelivered_messages_total", Help: "Messages that came again and were skipped."},
	{Name: "journal_duplicate_records_total", Help: "Records of batches that the checkpoint knew: not written again."},
	{Name: "journal_stored_records_total", Help: "Records whose message may leave the journal."},
	{Name: "journal_in_flight_records", Help: "Records read from the journal that are not stored."},
	{Name: "journal_checkpoints_total", Help: "Checkpoints stored."},
	{Name: "journal_checkpoint_bytes", Help: "Longest checkpoint of a shard: it grows with the sensors, which are forgotten after 90 days of silence."},
	{Name: "journal_checkpoint_max_bytes", Help: "Longest checkpoint that the NATS server takes: its max_payload."},
	{Name: "journal_sessions_total", Help: "Times this process became the writer of a shard."},
	{Name: "journal_fenced_total", Help: "Times another writer took a shard over."},
	{Name: "journal_unreadable_messages_total", Help: "Messages set aside because they cannot be read."},
	{Name: "journal_active_shards", Help: "Shards that this process writes."},
	{Name: "names_entries", Help: "DNS answers remembered, each of one client and one address."},
	{Name: "names_distinct", Help: "Different names in the DNS answers remembered, counted in each of 16 parts."},
	{Name: "names_added_total", Help: "Addresses of answers that came, those that were remembered already included."},
	{Name: "names_removed_total", Help: "Answers forgotten: all were full, a client had too many, an address had too many names.", Labels: []string{"reason"}},
	{Name: "names_lookups_total", Help: "Look-ups of a flow's name.", Labels: []string{"result"}},
	{Name: "dnstap_connections", Help: "DNS servers that are connected."},
	{Name: "dnstap_connections_total", Help: "Connections of DNS servers."},
	{Name: "dnstap_frames_total", Help: "Frames that DNS servers sent."},
	{Name: "dnstap_refused_total", Help: "Frames and connections that gave nothing, by reason.", Labels: []string{"reason"}},
	{Name: "dnstap_messages_total", Help: "DNS messages in the frames, by what became of them.", Labels: []string{"result"}},
	{Name: "dnstap_answers_total", Help: "Answers put into the journal."},
	{Name: "dnstap_dropped_answers_total", Help: "Answers from DNS servers that were not put into the journal, by reason.", Labels: []string{"reason"}},
	{Name: "store_submitted_records_total", Help: "Records given to the store."},
	{Name: "store_written_records_total", Help: "Records that are durable."},
	{Name: "store_pending_records", Help: "Records that wait or are being written."},
	{Name: "store_dead_lettered_records_total", Help: "Records in the dead-letter file, by reason.", Labels: []string{"reason"}},
	{Name: "store_dropped_records_total", Help: "Records that were not written in the end, by reason; the journal has them still.", Labels: []string{"reason"}},
	{Name: "store_dropped_packets_total", Help: "Packets in records that were not written in the end, by reason; the journal has them still.", Labels: []string{"reason"}},
	{Name: "store_dropped_bytes_total", Help: "IP bytes in records that were not written in the end, by reason; the journal has them still.", Labels: []string{"reason"}},
	{Name: "store_requests_total", Help: "Writes tried."},
	{Name: "store_retries_total", Help: "Writes repeated after a pause."},
	{Name: "store_splits_total", Help: "Writes repeated in parts."},
	{Name: "store_request_seconds_total", Help: "Time spent in writes."},
	{Name: "store_failing_writers", Help: "Writers that wait because their last write failed."},
	{Name: "store_dead_letters_bytes", Help: "Size of the dead-letter file."},
	{Name: "enrich_prefixes", Help: "Prefixes in the table of origins, by source.", Labels: []string{"source"}},
	{Name: "enrich_loaded_timestamp_seconds", Help: "When the table of origins was read.", Labels: []string{"source"}},
	{Name: "enrich_reloads_total", Help: "Times a changed file of origins was read.", Labels: []string{"source"}},
	{Name: "enrich_failures_total", Help: "Times a changed file of origins was refused.", Labels: []string{"source"}},
	{Name: "enrich_stale", Help: "Whether the file of origins was refused, and the old table is in use.", Labels: []string{"source"}},
	{Name: "influxdb_answers_total", Help: "Answers of InfluxDB by status class, none for requests without an answer.", Labels: []string{"class"}},
	{Name: "influxdb_sent_bytes_total", Help: "Request bodies sent, after compression."},
	{Name: "files_completed_total", Help: "Line-protocol files completed."},
	{Name: "files_removed_total", Help: "Line-protocol files removed to make room."},
	{Name: "files_failures_total", Help: "Failures of writing, compressing and removing line-protocol files."},
}

// readMetrics reads every metric; any goroutine may call it.
func (s *Service) readMetrics(put metrics.Put) {
	readJournal(s.pipeline.journal.Stats(), put)
	if s.pipeline.server != nil {
		readIngest(s.pipeline.server.Stats(), put)
		readAppender(s.pipeline.appender.Stats(), put)
	}
	if s.pipeline.dnstap != nil {
		s.pipeline.dnstap.read(put)
	}
	if s.pipeline.pool == nil {
		return
	}
	s.pipeline.names.read(put)
	read := s.pipeline.reader.Stats()
	readReader(read, put)
	s.pipeline.rollups.read(read, put)
	readStore(s.pipeline.pool.Stats(), put)
	put("store_dead_letters_bytes", float64(s.pipeline.dead.Size()))
	readOrigins(s.pipeline.origins.Stats(), put)
	switch w := s.pipeline.writer.(type) {
	case *influx.Writer:
		st := w.Stats()
		for class, n := range st.Answers {
			name := "none"
			if class > 0 {
				name = strconv.Itoa(class) + "xx"
			}
			put("influxdb_answers_total", float64(n), name)
		}
		put("influxdb_sent_bytes_total", float64(st.SentBytes))
	case *files.Writer:
		st := w.Stats()
		put("files_completed_total", float64(st.Completed))
		put("files_removed_total", float64(st.Removed))
		put("files_failures_total", float64(st.Failures))
	}
}

func readIngest(st ingest.Stats, put metrics.Put) {
	for outcome, n := range st.Outcomes {
		put("datagrams_total", float64(n), ingest.Reason(outcome).String())
	}
	put("accepted_records_total", float64(st.Accepted.Records))
	put("accepted_packets_total", float64(st.Accepted.Packets))
	put("accepted_bytes_total", float64(st.Accepted.Bytes))
	put("queue_full_records_total", float64(st.QueueFull.Records))
	put("queue_full_packets_total", float64(st.QueueFull.Packets))
	put("queue_full_bytes_total", float64(st.QueueFull.Bytes))
	put("unfit_records_total", float64(st.Unfit.Records))
	put("unfit_packets_total", float64(st.Unfit.Packets))
	put("unfit_bytes_total", float64(st.Unfit.Bytes))
	put("durable_records_total", float64(st.Durable.Records))
	put("lost_records_total", float64(st.Lost.Records))
	put("answers_total", float64(st.Answers.Sent), "sent")
	put("answers_total", float64(st.Answers.Failed), "failed")
	put("answers_total", float64(st.Answers.Unfit), "unfit")
	readLegacy(st.Legacy, put)
	for i, sock := range st.Sockets {
		labels := []string{strconv.Itoa(i), sock.Local.String()}
		put("socket_datagrams_total", float64(sock.Datagrams), labels...)
		put("socket_kernel_drops_total", float64(sock.KernelDrops), labels...)
		put("socket_receive_buffer_bytes", float64(sock.BufferGot), labels...)
	}
	for _, sensor := range st.Sensors {
		for outcome, n := range sensor.Outcomes {
			if reason := ingest.Reason(outcome); reason.Authentic() {
				put("sensor_datagrams_total", float64(n), sensor.ID, reason.String())
			}
		}
		put("sensor_records_total", float64(sensor.Accepted.Records), sensor.ID)
		put("sensor_missing_datagrams", float64(sensor.Missing), sensor.ID)
		put("sensor_twin_datagrams_total", float64(sensor.Twins), sensor.ID)
		put("sensor_clock_offset_seconds", sensor.Offset.Seconds(), sensor.ID)
		if !sensor.LastSeen.IsZero() {
			put("sensor_last_seen_timestamp_seconds", float64(sensor.LastSeen.UnixMilli())/1e3, sensor.ID)
		}
	}
}

func readLegacy(st ingest.LegacyStats, put metrics.Put) {
	for outcome, n := range st.Outcomes {
		put("legacy_datagrams_total", float64(n), legacy.Reason(outcome).String())
	}
	for _, v := range []struct {
		outcome string
		flow.Volume
	}{{"accepted", st.Accepted}, {"queue_full", st.QueueFull}, {"unfit", st.Unfit}, {"durable", st.Durable}, {"lost", st.Lost}} {
		put("legacy_records_total", float64(v.Records), v.outcome)
		put("legacy_packets_total", float64(v.Packets), v.outcome)
		put("legacy_bytes_total", float64(v.Bytes), v.outcome)
	}
	for _, agent := range st.Agents {
		put("legacy_agent_records_total", float64(agent.Records), agent.ID)
		if !agent.LastSeen.IsZero() {
			put("legacy_agent_last_seen_timestamp_seconds", float64(agent.LastSeen.UnixMilli())/1e3, agent.ID)
		}
	}
}

func readJournal(st journal.Stats, put metrics.Put) {
	up := 0.0
	if st.Up {
		up = 1
	}
	put("journal_up", up)
	put("journal_messages", float64(st.Messages))
	put("journal_bytes", float64(st.Bytes))
	put("journal_max_bytes", float64(st.MaxBytes))
	put("journal_age_seconds", st.Age.Seconds())
}

func readAppender(st journal.AppendStats, put metrics.Put) {
	put("journal_appended_records_total", float64(st.Appended.Records))
	put("journal_published_batches_total", float64(st.Published))
	put("journal_unknown_batches_total", float64(st.Unknown))
	put("journal_published_messages_total", float64(st.Messages))
	put("journal_published_bytes_total", float64(st.Octets))
	put("journal_publish_failures_total", float64(st.Failures))
	put("journal_publish_seconds_total", st.PublishTime.Seconds())
	put("journal_pending_bytes", float64(st.Pending))
	put("journal_blocked_shards", float64(st.Blocked))
}

func readReader(st journal.ReadStats, put metrics.Put) {
	put("journal_read_messages_total", float64(st.Messages))
	put("journal_redelivered_messages_total", float64(st.Redelivered))
	put("journal_duplicate_records_total", float64(st.Duplicates.Records))
	put("journal_stored_records_total", float64(st.Stored.Records))
	put("journal_in_flight_records", float64(st.InFlight))
	put("journal_checkpoints_total", float64(st.Checkpoints))
	put("journal_checkpoint_bytes", float64(st.CheckpointBytes))
	put("journal_checkpoint_max_bytes", float64(st.CheckpointMax))
	put("journal_sessions_total", float64(st.Sessions))
	put("journal_fenced_total", float64(st.Fenced))
	put("journal_unreadable_messages_total", float64(st.Unreadable))
	put("journal_active_shards", float64(st.Active))
}

func readStore(st store.Stats, put metrics.Put) {
	put("store_submitted_records_total", float64(st.Submitted.Records))
	put("store_written_records_total", float64(st.Written.Records))
	put("store_pending_records", float64(st.Pending.Records))
	for reason, c := range st.DeadLettered {
		put("store_dead_lettered_records_total", float64(c.Records), store.DeadReason(reason).String())
	}
	for reason, c := range st.Dropped {
		name := store.DropReason(reason).String()
		put("store_dropped_records_total", float64(c.Records), name)
		put("store_dropped_packets_total", float64(c.Packets), name)
		put("store_dropped_bytes_total", float64(c.Bytes), name)
	}
	put("store_requests_total", float64(st.Requests))
	put("store_retries_total", float64(st.Retries))
	put("store_splits_total", float64(st.Splits))
	put("store_request_seconds_total", st.RequestTime.Seconds())
	put("store_failing_writers", float64(st.Failing))
}

func deadTotal(st *store.Stats) (records uint64) {
	for _, c := range st.DeadLettered {
		records += c.Records
	}
	return records
}

func droppedTotal(st *store.Stats) (records uint64) {
	for _, c := range st.Dropped {
		records += c.Records
	}
	return records
}

// heard counts the sensors that have sent something.
func heard(sensors []ingest.SensorStats) (n int) {
	for _, s := range sensors {
		if !s.LastSeen.IsZero() {
			n++
		}
	}
	return n
}
