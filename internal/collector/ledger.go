package collector

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/status"
)

// ledgerTarget is where the status socket gives the ledgers.
const ledgerTarget = "/ledger"

// Bounds of what is kept of a sensor's reports, whatever it sends.
const (
	maxLedgerSubjects = 64
	maxLedgerMeters   = 512
)

// Ledgers is the answer to GET /ledger.
type Ledgers struct {
	status.Head
	Sensors []SensorLedger `json:"sensors"`
}

// SensorLedger is what a sensor last reported of its packets, and what this collector has of them.
type SensorLedger struct {
	ID       string           `json:"id"`
	Boot     uint64           `json:"boot"`
	Reported time.Time        `json:"reported"` // when the newest report came
	Whole    map[string]int64 `json:"whole"`    // meters of the sensor
	// Interfaces are the meters of each.
	Interfaces map[string]map[string]int64 `json:"interfaces"`
	// Durable is the packets in the records that this collector made durable since its own start.
	Durable uint64 `json:"durable_packets"`
}

// ledgerBook keeps the newest report of each sensor. It is safe for concurrent use.
type ledgerBook struct {
	mu      sync.Mutex
	sensors map[string]*ledgerPage
}

type ledgerPage struct {
	boot     uint64
	base     int64
	received int64
	subjects map[string]map[string]int64
}

// note takes a batch of a sensor's readings. An older one than is known, which was sent again, changes nothing.
func (l *ledgerBook) note(b *flow.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sensors == nil {
		l.sensors = make(map[string]*ledgerPage)
	}
	page := l.sensors[b.Sensor]
	if page == nil || b.Boot > page.boot {
		page = &ledgerPage{boot: b.Boot, subjects: make(map[string]map[string]int64)}
		l.sensors[b.Sensor] = page
	}
	if b.Boot < page.boot || b.Base < page.base {
		return
	}
	page.base, page.received = b.Base, b.Received
	for _, r := range b.Readings {
		meters := page.subjects[r.Subject]
		if meters == nil {
			if len(page.subjects) == maxLedgerSubjects {
				continue
			}
			meters = make(map[string]int64)
			page.subjects[strings.Clone(r.Subject)] = meters
		}
		if _, known := meters[r.Name]; known || len(meters) < maxLedgerMeters {
			meters[strings.Clone(r.Name)] = r.Value
		}
	}
}

// ledgers gives a copy, by id.
func (l *ledgerBook) ledgers() []SensorLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := []SensorLedger{}
	for id, page := range l.sensors {
		s := SensorLedger{
			ID: id, Boot: page.boot, Reported: time.Unix(0, page.received).UTC(), Whole: maps.Clone(page.subjects[""]),
			Interfaces: make(map[string]map[string]int64),
		}
		for subject, meters := range page.subjects {
			if subject != "" {
				s.Interfaces[subject] = maps.Clone(meters)
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b SensorLedger) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// ledgers reads what the sensors reported; any goroutine may call it.
func (s *Service) ledgers() Ledgers {
	out := Ledgers{Head: status.NewHead(program, s.started), Sensors: s.pipeline.reports.ledgers()}
	if s.pipeline.server == nil {
		return out
	}
	durable := make(map[string]uint64)
	for _, st := range s.pipeline.server.Stats().Sensors {
		durable[st.ID] = st.Durable.Packets
	}
	for i := range out.Sensors {
		out.Sensors[i].Durable = durable[out.Sensors[i].ID]
	}
	return out
}

// ShowLedger is `flow-collector ledger`: where the packets of each sensor are.
func ShowLedger(ctx context.Context, o StatusOptions) error {
	client := o.client()
	defer client.Close()
	var l Ledgers
	if err := client.Get(ctx, ledgerTarget, &l); err != nil {
		return err
	}
	var text strings.Builder
	if err := l.write(&text); err != nil {
		return err
	}
	_, err := io.WriteString(o.Out, text.String())
	return err
}

// ShowLedgerJSON is `flow-collector ledger --json`.
func ShowLedgerJSON(ctx context.Context, o StatusOptions) error {
	client := o.client()
	defer client.Close()
	text, err := client.Raw(ctx, ledgerTarget)
	if err != nil {
		return err
	}
	_, err = o.Out.Write(text)
	return err
}

// write prints a table for each sensor: every packet it received, once.
func (l *Ledgers) write(out *strings.Builder) error {
	if len(l.Sensors) == 0 {
		out.WriteString("no sensor has reported yet: each that runs does every export.report_interval, by default 10 s\n")
		return nil
	}
	for i := range l.Sensors {
		if i > 0 {
			out.WriteString("\n")
		}
		if err := l.Sensors[i].write(out, l.Time); err != nil {
			return err
		}
	}
	return nil
}

func (s *SensorLedger) write(out *strings.Builder, now time.Time) error {
	fmt.Fprintf(out, "%s  up since %s, reported %s ago%s\n", s.ID, time.Unix(0, int64(s.Boot)).UTC().Format(time.DateTime),
		seconds(max(now.Sub(s.Reported).Seconds(), 0)), s.past())
	rows := [][]string{{"PACKETS", "RECEIVED", "= IN RECORDS", "+ IN TABLES", "+ REFUSED", "+ RING DROPS", "+ DISCARDED", "+ IN HAND", "- GSO EXTRA"}}
	for _, name := range slices.Sorted(maps.Keys(s.Interfaces)) {
		m := s.Interfaces[name]
		rows = append(rows, []string{
			name, count(m["received"]), count(m["exported"]), count(m["accounted"] - m["exported"]), count(m["refused"]),
			count(m["ring_dropped"]), count(m["ring_discarded"]), count(m["in_hand"]), count(m["gso_extra"]),
		})
	}
	if err := status.Table(out, rows); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Interfaces)) {
		if refused := reasons(s.Interfaces[name], "refused_"); len(refused) > 0 {
			fmt.Fprintf(out, "refused at %s: %s\n", name, status.Counts(refused))
		}
	}
	w := s.Whole
	fmt.Fprintf(out, "packets in records: %s = %s settled + %s kept by the sensor + %s dropped", count(w["added_packets"]+w["recovered_packets"]),
		count(w["settled_packets"]), count(w["pending_packets"]), count(w["dropped_packets"]))
	if recovered := w["recovered_packets"]; recovered > 0 {
		fmt.Fprintf(out, "; %s of them are of the life before", count(recovered))
	}
	out.WriteString("\n")
	if w["last"] == 1 && w["pending_packets"] > 0 {
		out.WriteString("kept: when it ended, for the last report leaves before its last records are acknowledged; those that came count as durable here\n")
	}
	if dropped := droppedPackets(w); len(dropped) > 0 {
		fmt.Fprintf(out, "dropped: %s\n", status.Counts(dropped))
	}
	fmt.Fprintf(out, "durable here since this collector started: %s packets\n", status.Count(s.Durable))
	return nil
}

// past tells of the end of the sensor's life, and of the one before.
func (s *SensorLedger) past() string {
	var text string
	if s.Whole["last"] == 1 {
		text += ", ended in order"
	}
	if s.Whole["previous_unclean"] == 1 {
		text += "; its life before was killed: what its tables held then is lost"
	}
	return text
}

// reasons are the meters of a prefix, but for the sum of bytes that shares it, and those at zero.
func reasons(m map[string]int64, prefix string) map[string]uint64 {
	found := make(map[string]uint64)
	for name, n := range m {
		if reason, ok := strings.CutPrefix(name, prefix); ok && reason != "bytes" && n > 0 {
			found[reason] = uint64(n)
		}
	}
	return found
}

// droppedPackets are the packets in the records that were given up, by reason.
func droppedPackets(m map[string]int64) map[string]uint64 {
	found := make(map[string]uint64)
	for name, n := range reasons(m, "dropped_") {
		if reason, ok := strings.CutSuffix(name, "_packets"); ok {
			found[reason] = n
		}
	}
	return found
}

func count(n int64) string {
	if n < 0 {
		return "-" + status.Count(uint64(-n))
	}
	return status.Count(uint64(n))
}
