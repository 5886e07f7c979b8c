package collector

import (
	"context"
	"net/http"
	"time"

	"flowsensor/internal/ingest"
	"flowsensor/internal/status"
	"flowsensor/internal/store"
)

// program is what the units and the sockets are called.
const program = "flow-collector"

// statusTarget is what the status socket answers.
const statusTarget = "/status"

// Snapshot is the answer to GET /status. Counts are since the start; the names are those of the metrics.
type Snapshot struct {
	status.Head
	Roles   []string       `json:"roles"`
	Ingest  *IngestStatus  `json:"ingest,omitempty"` // role ingest
	Journal JournalStatus  `json:"journal"`
	Write   *WriteStatus   `json:"write,omitempty"` // role write
	Sensors []SensorStatus `json:"sensors"`         // that are configured, by id; role ingest
	Stalled []string       `json:"stalled"`         // what makes no progress
}

// IngestStatus is what came from the network.
type IngestStatus struct {
	Sockets   []SocketStatus    `json:"sockets"`
	Datagrams map[string]uint64 `json:"datagrams"` // by outcome: accepted or the reason of the refusal
	Accepted  uint64            `json:"accepted_records"`
	Full      uint64            `json:"queue_full_records"` // refused for want of room: the sensors keep them
	Durable   uint64            `json:"durable_records"`
	Lost      uint64            `json:"lost_records"` // accepted and not durable: the sensors send them again
	Answers   uint64            `json:"answers"`
}

// SocketStatus is one UDP socket.
type SocketStatus struct {
	Address       string `json:"address"`
	Datagrams     uint64 `json:"datagrams"`
	KernelDrops   uint64 `json:"kernel_drops"`
	ReceiveBuffer int    `json:"receive_buffer_bytes"`
}

// SensorStatus is what came from one sensor, authenticated.
type SensorStatus struct {
	ID          string            `json:"id"`
	LastSeen    *time.Time        `json:"last_seen,omitempty"` // absent before the first datagram that was in time
	SilentFor   float64           `json:"silent_for_seconds"`  // since then
	ClockOffset float64           `json:"clock_offset_seconds"`
	Datagrams   map[string]uint64 `json:"datagrams"` // by outcome
	Missing     uint64            `json:"missing_datagrams"`
	Records     uint64            `json:"accepted_records"`
	Durable     uint64            `json:"durable_records"`
	Full        uint64            `json:"queue_full_records"`
	Key         int               `json:"key"` // 1 is the newest of its key files, 2 the one before; of the latest datagram
	Boot        uint64            `json:"boot"`
}

// JournalStatus is what waits between the two roles.
type JournalStatus struct {
	Up       bool    `json:"up"`
	Messages uint64  `json:"messages"`
	Bytes    uint64  `json:"bytes"`
	MaxBytes uint64  `json:"max_bytes"`
	Age      float64 `json:"age_seconds"` // of the oldest message
	Blocked  int     `json:"blocked_shards"`
	Failures uint64  `json:"publish_failures"`
}

// WriteStatus is what went to the database or the files.
type WriteStatus struct {
	Kind         string            `json:"kind"`
	ActiveShards int               `json:"active_shards"`
	Read         uint64            `json:"read_records"`
	Written      uint64            `json:"written_records"`
	Withheld     uint64            `json:"withheld_records"` // not wanted as points of their own, discarded ones included
	Pending      uint64            `json:"pending_records"`
	Duplicates   uint64            `json:"duplicate_records"`
	DeadLettered map[string]uint64 `json:"dead_lettered_records"` // by reason
	Dropped      map[string]uint64 `json:"dropped_records"`       // by reason; they stand in the journal still
	Requests     uint64            `json:"requests"`
	Retries      uint64            `json:"retries"`
	Splits       uint64            `json:"splits"`
	Failing      int               `json:"failing_writers"`
	LastSuccess  *time.Time        `json:"last_success,omitempty"`
	LastError    string            `json:"last_error,omitempty"`
	DeadLetters  int64             `json:"dead_letters_bytes"`
}

// statusTask makes the status socket and gives what serves it until ctx ends.
func (s *Service) statusTask(ctx context.Context) func() {
	return status.Task(ctx, status.Options{
		Socket: s.config.Status.Socket, Program: program, Config: s.path, Log: s.log,
		Handle: func(server *status.Server) {
			server.Handle(statusTarget, func(*http.Request) (any, error) { return s.snapshot(), nil })
			server.Handle(ledgerTarget, func(*http.Request) (any, error) { return s.ledgers(), nil })
		},
	})
}

// snapshot reads every figure; any goroutine may call it.
func (s *Service) snapshot() Snapshot {
	out := Snapshot{
		Head: status.NewHead(program, s.started), Roles: s.config.Roles, Journal: s.journalStatus(), Sensors: []SensorStatus{},
		Stalled: append([]string{}, s.monitor.Stalled()...),
	}
	if s.pipeline.server != nil {
		in := s.pipeline.server.Stats()
		out.Ingest = ingestStatus(&in)
		for i := range in.Sensors {
			out.Sensors = append(out.Sensors, sensorStatus(&in.Sensors[i], out.Time))
		}
	}
	if s.pipeline.pool != nil {
		out.Write = s.writeStatus()
	}
	return out
}

func ingestStatus(in *ingest.Stats) *IngestStatus {
	out := &IngestStatus{
		Datagrams: outcomes(&in.Outcomes), Accepted: in.Accepted.Records, Full: in.QueueFull.Records, Durable: in.Durable.Records,
		Lost: in.Lost.Records, Answers: in.Answers.Sent,
	}
	for _, sock := range in.Sockets {
		out.Sockets = append(out.Sockets, SocketStatus{
			Address: sock.Local.String(), Datagrams: sock.Datagrams, KernelDrops: sock.KernelDrops, ReceiveBuffer: sock.BufferGot,
		})
	}
	return out
}

func sensorStatus(in *ingest.SensorStats, now time.Time) SensorStatus {
	out := SensorStatus{
		ID: in.ID, Datagrams: outcomes(&in.Outcomes), Missing: in.Missing, Records: in.Accepted.Records, Durable: in.Durable.Records,
		Full: in.QueueFull.Records, Boot: in.Boot, ClockOffset: in.Offset.Seconds(),
	}
	if seen := in.LastSeen.UTC(); !in.LastSeen.IsZero() {
		out.LastSeen, out.SilentFor = &seen, max(now.Sub(seen).Seconds(), 0)
		out.Key = in.KeyIndex + 1
	}
	return out
}

// outcomes gives what is above zero by name.
func outcomes(counts *[ingest.Reasons]uint64) map[string]uint64 {
	out := make(map[string]uint64)
	for reason, n := range counts {
		if n > 0 {
			out[ingest.Reason(reason).String()] = n
		}
	}
	return out
}

func (s *Service) journalStatus() JournalStatus {
	st := s.pipeline.journal.Stats()
	out := JournalStatus{Up: st.Up, Messages: st.Messages, Bytes: st.Bytes, MaxBytes: st.MaxBytes, Age: st.Age.Seconds()}
	if s.pipeline.appender != nil {
		a := s.pipeline.appender.Stats()
		out.Blocked, out.Failures = a.Blocked, a.Failures
	}
	return out
}

func (s *Service) writeStatus() *WriteStatus {
	r, st := s.pipeline.reader.Stats(), s.pipeline.pool.Stats()
	out := &WriteStatus{
		Kind: s.config.Store.Kind, ActiveShards: r.Active, Read: st.Submitted.Records, Written: st.Written.Records, Pending: st.Pending.Records,
		Withheld: st.Withheld.Records, Duplicates: r.Duplicates.Records, DeadLettered: make(map[string]uint64), Dropped: make(map[string]uint64), Requests: st.Requests,
		Retries: st.Retries, Splits: st.Splits, Failing: st.Failing, LastError: st.LastError, DeadLetters: s.pipeline.dead.Size(),
	}
	for reason, c := range st.DeadLettered {
		out.DeadLettered[store.DeadReason(reason).String()] = c.Records
	}
	for reason, c := range st.Dropped {
		out.Dropped[store.DropReason(reason).String()] = c.Records
	}
	if last := st.LastSuccess.UTC(); !st.LastSuccess.IsZero() {
		out.LastSuccess = &last
	}
	return out
}
