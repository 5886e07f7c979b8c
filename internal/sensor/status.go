package sensor

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/export"
	"flowsensor/internal/status"
)

// What a status socket of this program is called.
const program = "flow-sensor"

// Targets of the status socket: StatusTarget gives a Snapshot, topTarget a TopSnapshot.
const (
	StatusTarget = "/status"
	topTarget    = "/top"
)

// Snapshot is the answer to GET /status. Counts are since the start; the names are those of the metrics and the ledger.
type Snapshot struct {
	status.Head
	ID         string            `json:"id"`
	Interfaces []InterfaceStatus `json:"interfaces"`
	Ledger     *Ledger           `json:"ledger"`
	MaxFlows   uint64            `json:"max_flows"`
	Export     ExportStatus      `json:"export"`
	Stalled    []string          `json:"stalled"` // workers that make no progress
}

// InterfaceStatus is one interface's capture.
type InterfaceStatus struct {
	Name        string     `json:"name"`
	Link        string     `json:"link"`
	Capturing   bool       `json:"capturing"`
	Promiscuous bool       `json:"promiscuous"`
	Engine      string     `json:"engine"`
	Workers     int        `json:"workers"`
	Sample      int        `json:"sample"`
	GRO         string     `json:"gro"`
	LRO         string     `json:"lro"`
	Corrected   bool       `json:"merged_corrected"` // merged packets count as what was on the wire
	Received    uint64     `json:"received_packets"`
	Dropped     uint64     `json:"ring_dropped_packets"`
	Discarded   uint64     `json:"ring_discarded_packets"`
	Freezes     uint64     `json:"ring_freezes"`
	Reopened    uint64     `json:"reopened"`
	Down        float64    `json:"down_seconds"`
	NIC         *NICStatus `json:"nic,omitempty"` // absent where the interface is gone
}

// NICStatus is what the interface itself counts since it exists; it stands beside the ledger.
type NICStatus struct {
	Packets uint64 `json:"rx_packets"`
	Errors  uint64 `json:"rx_errors"`
	Dropped uint64 `json:"rx_dropped"`
	Missed  uint64 `json:"rx_missed"`
	FIFO    uint64 `json:"rx_fifo"`
}

// Lost is what the interface lost before a ring could count it.
func (n *NICStatus) Lost() uint64 {
	if n == nil {
		return 0
	}
	return n.Errors + n.Dropped + n.Missed + n.FIFO
}

// ExportStatus is the sender.
type ExportStatus struct {
	Remote      string            `json:"remote"` // "" before the collector was found
	Delivery    string            `json:"delivery"`
	SentRecords uint64            `json:"sent_records"`
	SentPackets uint64            `json:"sent_packets"`
	SentBytes   uint64            `json:"sent_bytes"`
	Datagrams   uint64            `json:"sent_datagrams"`
	Octets      uint64            `json:"sent_octets"`
	Dropped     map[string]uint64 `json:"dropped_records"` // by reason
	Pending     uint64            `json:"pending_records"`

	// Acknowledged delivery alone.
	AckedRecords     uint64  `json:"acked_records"`
	RecoveredRecords uint64  `json:"recovered_records"` // found in the spool at start
	Unacknowledged   int     `json:"unacknowledged_batches"`
	Waiting          int     `json:"waiting_batches"`
	Backlog          int     `json:"backlog_batches"`
	SpoolBatches     int     `json:"spool_batches"`
	SpoolBytes       int64   `json:"spool_bytes"`
	SpoolFailures    uint64  `json:"spool_failures"`
	Resent           uint64  `json:"resent_batches"`
	Full             uint64  `json:"collector_full"` // times it had no room
	Held             bool    `json:"held"`           // by a refusal or an error
	ClockOffset      float64 `json:"clock_offset_seconds"`
	Failovers        uint64  `json:"failovers"`

	Queue         int    `json:"queue"`
	QueueCapacity int    `json:"queue_capacity"`
	Refused       uint64 `json:"refused"`
	SendErrors    uint64 `json:"send_errors"`
	LastError     string `json:"last_error,omitempty"`
}

// statusTask makes the status socket and gives what serves it until ctx ends.
func (s *Service) statusTask(ctx context.Context) func() {
	asker := newAsker(s.pipeline.workers)
	return status.Task(ctx, status.Options{
		Socket: s.config.Status.Socket, Program: program, Config: s.path, Log: s.log,
		Handle: func(server *status.Server) {
			server.Handle(StatusTarget, func(*http.Request) (any, error) { return s.snapshot(), nil })
			server.Handle(topTarget, func(r *http.Request) (any, error) {
				limit, err := strconv.Atoi(r.URL.Query().Get("flows"))
				if err != nil || limit < 1 || limit > maxTop {
					limit = maxTop
				}
				flows, silent := asker.top(r.Context(), limit)
				return TopSnapshot{Head: s.head(), Flows: flows, Silent: silent}, nil
			})
		},
	})
}

func (s *Service) head() status.Head { return status.NewHead(program, s.started) }

// snapshot reads every figure; any goroutine may call it.
func (s *Service) snapshot() Snapshot {
	out := Snapshot{
		Head: s.head(), ID: s.config.ID, Ledger: s.Ledger(), MaxFlows: uint64(s.config.Flows.MaxFlows),
		Export: exportStatus(s.pipeline.sender.Stats()), Stalled: append([]string{}, s.monitor.Stalled()...),
	}
	out.Export.Delivery = s.config.Export.Delivery.String()
	for _, tap := range s.pipeline.taps {
		in := interfaceStatus(tap.Stats())
		if n, err := tap.Counters(); err == nil {
			in.NIC = &NICStatus{Packets: n.RxPackets, Errors: n.RxErrors, Dropped: n.RxDropped, Missed: n.RxMissed, FIFO: n.RxFIFO}
		}
		out.Interfaces = append(out.Interfaces, in)
	}
	return out
}

func interfaceStatus(t capture.Stats) InterfaceStatus {
	return InterfaceStatus{
		Name: t.Interface, Link: t.Link.String(), Capturing: t.Capturing, Promiscuous: t.Promiscuity > 0, Engine: t.Engine.String(),
		Workers: len(t.Rings), Sample: t.Sample, GRO: t.Offloads.GRO.String(), LRO: t.Offloads.LRO.String(), Corrected: t.Segments,
		Received: t.Received, Dropped: t.Dropped, Discarded: t.Discarded, Freezes: t.Freezes, Reopened: t.Reopened, Down: t.Down.Seconds(),
	}
}

func exportStatus(x export.Stats) ExportStatus {
	out := ExportStatus{
		Remote: remote(x.Remote), SentRecords: x.Sent.Records, SentPackets: x.Sent.Packets, SentBytes: x.Sent.Bytes,
		Datagrams: x.Datagrams, Octets: x.Octets, Dropped: make(map[string]uint64), Pending: x.Pending.Records,
		AckedRecords: x.Acked.Records, RecoveredRecords: x.Recovered.Records, Unacknowledged: x.InFlight, Waiting: x.Waiting, Backlog: x.Backlog,
		SpoolBatches: x.SpoolBatches, SpoolBytes: x.SpoolBytes, SpoolFailures: x.SpoolFails, Resent: x.Resends, Full: x.Full, Held: x.Held,
		ClockOffset: x.ClockOffset.Seconds(), Failovers: x.Failovers,
		Queue: x.QueueDepth, QueueCapacity: x.QueueCapacity, Refused: x.Refused, SendErrors: x.SendErrors, LastError: x.LastError,
	}
	for reason, amount := range x.Dropped {
		out.Dropped[export.Reason(reason).String()] = amount.Records
	}
	return out
}

// span is the time between two answers of one life of the daemon; false when it was started anew between them.
func span(before, after status.Head) (time.Duration, bool) {
	d := time.Duration((after.Uptime - before.Uptime) * float64(time.Second))
	return d, before.PID == after.PID && before.Started.Equal(after.Started) && d > 0
}

func remote(collector netip.AddrPort) string {
	if !collector.IsValid() {
		return ""
	}
	return collector.String()
}
