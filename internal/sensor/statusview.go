package sensor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/status"
)

// StatusOptions are those of the commands that ask the running daemon.
type StatusOptions struct {
	Socket string // "" is that of the configuration
	Config string // its path, which also tells the instance
	Out    io.Writer
}

// SocketPath is where the daemon of the configuration listens. A configuration that cannot be read is no reason not to ask.
func (o *StatusOptions) SocketPath() string {
	if o.Socket != "" {
		return o.Socket
	}
	c, err := load(o.Config, func(*Config, *config.Document) {})
	if err == nil && c.Status.Socket != status.Auto && c.Status.Socket != "" {
		return c.Status.Socket
	}
	return status.Path(program, o.Config)
}

// ShowStatus is `flow-sensor status`: the figures of the daemon that runs.
func ShowStatus(ctx context.Context, o StatusOptions) error {
	client := status.NewClient(o.SocketPath())
	defer client.Close()
	var s Snapshot
	if err := client.Get(ctx, StatusTarget, &s); err != nil {
		return err
	}
	return s.write(o.Out)
}

// ShowStatusJSON is `flow-sensor status --json`: the answer as the daemon gave it.
func ShowStatusJSON(ctx context.Context, o StatusOptions) error {
	client := status.NewClient(o.SocketPath())
	defer client.Close()
	text, err := client.Raw(ctx, StatusTarget)
	if err != nil {
		return err
	}
	_, err = o.Out.Write(text)
	return err
}

// write prints the figures for people.
func (s *Snapshot) write(out io.Writer) error {
	t := &text{out: out}
	t.printf("%s %s, sensor %s, pid %d, up %s\n", s.Program, s.Build, s.ID, s.PID, status.Age(time.Duration(s.Uptime*float64(time.Second))))
	if len(s.Stalled) > 0 {
		t.printf("NO PROGRESS: %s\n", strings.Join(s.Stalled, ", "))
	}
	t.printf("\n")
	t.table(s.interfaceRows())
	t.printf("\n")
	l := s.Ledger
	t.printf("packets    %s read", status.Count(l.Packets.Read))
	if l.Packets.GSOExtra > 0 {
		t.printf(" + %s that merged ones stand for", status.Count(l.Packets.GSOExtra))
	}
	t.printf(", %s accounted, %s refused (%s)\n", status.Count(l.Packets.Accounted), status.Count(l.Packets.RefusedTotal()), status.Counts(l.Packets.Refused))
	t.printf("bytes      %s accounted\n", status.Count(l.Bytes.Accounted))
	t.printf("flows      %s of %s; %s records have left (%s)\n", status.Count(l.Flows), status.Count(s.MaxFlows), status.Count(l.Records), status.Counts(l.Ended))
	if len(l.Notes) > 0 {
		t.printf("noted      %s\n", status.Counts(l.Notes))
	}
	s.Export.write(t)
	return t.err
}

func (s *Snapshot) interfaceRows() [][]string {
	rows := [][]string{{"INTERFACE", "LINK", "PROMISCUOUS", "WORKERS", "MERGING", "RECEIVED", "RING DROPPED", "FREEZES", "NIC LOST", "DOWN"}}
	for _, in := range s.Interfaces {
		rows = append(rows, []string{
			in.Name, in.state(), yes[in.Promiscuous], strconv.Itoa(in.Workers), in.merging(), status.Count(in.Received), status.Count(in.Dropped),
			status.Count(in.Freezes), status.Count(in.NIC.Lost()), status.Age(time.Duration(in.Down * float64(time.Second))),
		})
	}
	return rows
}

var yes = map[bool]string{false: "no", true: "yes"}

func (in *InterfaceStatus) state() string {
	if !in.Capturing {
		return in.Link + ", not captured"
	}
	return in.Link
}

// merging says what merges packets before the capture, and whether that is made up for.
func (in *InterfaceStatus) merging() string {
	var on []string
	if in.GRO == "on" {
		on = append(on, "gro")
	}
	if in.LRO == "on" {
		on = append(on, "lro")
	}
	if len(on) == 0 {
		return "no"
	}
	if in.Corrected {
		return strings.Join(on, ",") + " (corrected)"
	}
	return strings.Join(on, ",")
}

// absent stands in the place of the collector's address.
const absent = "a collector not found yet"

func (x *ExportStatus) write(t *text) {
	t.printf("collector  %s, %s\n", cmp.Or(x.Remote, absent), x.Delivery)
	t.printf("records    %s sent in %s datagrams, %s acknowledged, %s pending; given up: %s\n", status.Count(x.SentRecords),
		status.Count(x.Datagrams), status.Count(x.AckedRecords), status.Count(x.Pending), status.Counts(x.Dropped))
	if x.SpoolBatches > 0 || x.Resent > 0 || x.SpoolFailures > 0 {
		t.printf("spool      %d batches, %s bytes; %s batches sent again, %s failures\n", x.SpoolBatches, status.Count(uint64(max(x.SpoolBytes, 0))),
			status.Count(x.Resent), status.Count(x.SpoolFailures))
	}
	if x.Held {
		t.printf("HELD BACK  the collector refuses or cannot be reached")
		if x.ClockOffset != 0 {
			t.printf(": its clock and ours differ by %s", status.Offset(x.ClockOffset))
		}
		t.printf("\n")
	}
	if x.LastError != "" {
		t.printf("last error %s\n", x.LastError)
	}
}

// text prints until something fails.
type text struct {
	out io.Writer
	err error
}

func (t *text) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, format, args...)
	}
}

func (t *text) table(rows [][]string) {
	if t.err == nil {
		t.err = status.Table(t.out, rows)
	}
}
